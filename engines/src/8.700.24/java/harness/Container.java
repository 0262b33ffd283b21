package harness;

import com.google.protobuf.TextFormat;
import com.yahoo.application.Application;
import com.yahoo.application.Networking;
import com.yahoo.application.container.handler.Request;
import com.yahoo.application.container.handler.Response;
import com.yahoo.slime.ArrayTraverser;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;
import com.yahoo.slime.SlimeUtils;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A whole container that is made of the package, with all its searchers, dispatch, global phase and renderer, asked at
 * /search/ as its HTTP server would ask; only the content node is a stand-in.
 */
final class Container implements AutoCloseable {

    private final Application application;
    private final ContentNode node;
    private final Features features;
    private final Map<String, Stored> documents;

    private Container(String packageFolder, Path feed) throws Exception {
        Package deployed = Package.deploy(packageFolder);
        List<Stored> fed = Stored.of(deployed, feed);
        documents = fed.stream().collect(Collectors.toMap(Stored::documentId, Function.identity()));
        Path folder = changed(packageFolder);
        int port = Package.unchecked(changed(packageFolder)).contentNode().port(); // of the model that Application will make
        features = new Features(deployed);
        node = new ContentNode(port, fed, features); // is pinged
        Local.EMBEDDERS.putAll(deployed.embedders());
        application = Application.fromApplicationPackage(folder, Networking.disable);
    }

    /** A copy that com.yahoo.application.Application takes. */
    private static Path changed(String packageFolder) throws Exception {
        Path folder = Files.createTempDirectory("application-");
        Package.copy(Path.of(packageFolder), folder);
        Path services = folder.resolve("services.xml");
        String local = "<component id=\"$1\" class=\"" + Local.class.getName() + "\" bundle=\"harness\"/>";
        String xml = Files.readString(services).replaceAll("<document-(api|processing)/>", "")
                          .replace("<search/>", "<search/><accesslog type=\"disabled\"/>");
        Files.writeString(services, Pattern.compile("<component id=\"([^\"]*)\".*?</component>", Pattern.DOTALL)
                                           .matcher(xml).replaceAll(local));
        // Its content clusters name files by their path in the package, which its LocalFileDb looks for in the working folder
        Files.createDirectories(Path.of("files"));
        try (Stream<Path> models = Files.list(folder.resolve("files"))) {
            for (Path model : models.toList())
                Files.copy(model, Path.of("files").resolve(model.getFileName()), StandardCopyOption.REPLACE_EXISTING);
        }
        return folder;
    }

    /** Posts a body; the content node finds the documents of `ids`, in that order, or all. */
    private void ask(Inspector body, List<String> ids, Inspector bm25, Cursor answer) throws Exception {
        node.hits = ids.isEmpty() ? List.copyOf(documents.values()) : ids.stream().map(documents::get).toList();
        node.asked = null;
        features.bm25(bm25);
        Request request = new Request("http://localhost/search/", SlimeUtils.toJsonBytes(body), Request.Method.POST);
        request.getHeaders().put("Content-Type", "application/json");
        long start = System.nanoTime();
        Response response = application.getJDisc("default").handleRequest(request);
        answer.setDouble("ms", (System.nanoTime() - start) / 1e6);
        answer.setLong("status", response.getStatus());
        Inspector root = SlimeUtils.jsonToSlimeOrThrow(response.getBody()).get().field("root");
        SlimeUtils.copyObject(root, answer.setObject("root"));
        if (node.asked == null) return;
        answer.setString("profile", node.asked.getRankProfile());
        answer.setLong("hits", node.asked.getHits());
        answer.setString("tree", tree(TextFormat.printer().escapingNonAscii(false).printToString(node.asked.getQueryTree())));
    }

    /** A query tree on one line, such as `weak_and { target_num_hits: 100 word_term { default: mask } }`. */
    private static String tree(String text) {
        return text.replaceAll("\\s+", " ").replaceAll("root \\{ (.*) \\}", "$1").replaceAll("item_", "")
                   .replaceAll("properties \\{ ([^}]*?) ?\\}", "$1").replaceAll("index: \"([^\"]*)\"", "$1:")
                   .replaceAll("unique_id: \\d+", "").replaceAll("(word|term_count|item_type): ?", "").replaceAll("children ", "")
                   .replaceAll("\\s+", " ").trim();
    }

    @Override public void close() {
        application.close();
        node.close();
    }

    /** Step ask: bodies of requests, one after another, each with the documents that are found. */
    static void step(Inspector request, Cursor answer) throws Exception {
        Cursor answers = answer.setArray("answers");
        try (Container container = new Container(request.field("application").asString(),
                                                 Path.of(request.field("feed").asString()))) {
            request.field("asks").traverse((ArrayTraverser) (int i, Inspector ask) -> {
                try {
                    container.ask(ask.field("body"), Texts.strings(ask.field("documents")), ask.field("bm25"), answers.addObject());
                } catch (Exception e) {
                    throw new IllegalStateException(ask.toString(), e);
                }
            });
        }
    }

}
