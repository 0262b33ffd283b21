package harness;

import ai.vespa.feed.client.FeedClient;
import ai.vespa.feed.client.FeedException;
import ai.vespa.feed.client.JsonFeeder;
import ai.vespa.feed.client.Result;
import com.fasterxml.jackson.core.JsonFactory;
import com.yahoo.document.Document;
import com.yahoo.document.DocumentPut;
import com.yahoo.document.DocumentTypeManager;
import com.yahoo.document.config.DocumentmanagerConfig;
import com.yahoo.document.json.DocumentOperationType;
import com.yahoo.document.json.JsonReader;
import com.yahoo.vespa.configmodel.producers.DocumentManager;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** A feed, read as Vespa's command line reads it and then as /document/v1/ does, with the schema's own types. */
final class Documents {

    /** What the command line sends: a document's id, and {"fields": ...}. */
    private record Put(String id, String json) {}

    static DocumentTypeManager types(Package deployed) {
        return new DocumentTypeManager(new DocumentManager().produce(deployed.state.getDocumentModel(),
                                                                     new DocumentmanagerConfig.Builder()).build());
    }

    static List<Document> read(Package deployed, Path feed) throws Exception {
        DocumentTypeManager types = types(deployed);
        List<Document> documents = new ArrayList<>();
        for (Put put : sent(feed)) {
            InputStream json = new ByteArrayInputStream(put.json().getBytes(StandardCharsets.UTF_8));
            // as com.yahoo.document.restapi.resource.DocumentV1ApiHandler.DocumentOperationParser
            var parsed = new JsonReader(types, json, new JsonFactory())
                    .readSingleDocumentStreaming(DocumentOperationType.PUT, put.id());
            if ( ! parsed.fullyApplied()) throw new IllegalStateException("a field of " + put.id() + " is not the schema's");
            documents.add(((DocumentPut) parsed.operation()).getDocument());
        }
        return documents;
    }

    private static List<Put> sent(Path path) throws Exception {
        List<Put> sent = Collections.synchronizedList(new ArrayList<>());
        List<Throwable> errors = Collections.synchronizedList(new ArrayList<>());
        FeedClient client = (FeedClient) Proxy.newProxyInstance(
                FeedClient.class.getClassLoader(), new Class<?>[] { FeedClient.class }, (proxy, method, arguments) ->
                switch (method.getName()) {
                    case "put" -> {
                        sent.add(new Put(arguments[0].toString(), (String) arguments[1]));
                        yield CompletableFuture.completedFuture(null);
                    }
                    case "close" -> null;
                    case "circuitBreakerState" -> FeedClient.CircuitBreaker.State.CLOSED;
                    case "toString" -> "a client that keeps what it is to send";
                    default -> throw new UnsupportedOperationException(method.getName());
                });
        try (JsonFeeder feeder = JsonFeeder.builder(client).build(); InputStream feed = Files.newInputStream(path)) {
            feeder.feedMany(feed, new JsonFeeder.ResultCallback() {
                @Override public void onNextResult(Result result, FeedException error) { if (error != null) errors.add(error); }
                @Override public void onError(FeedException error) { errors.add(error); }
            }).join();
        }
        if ( ! errors.isEmpty()) throw new IllegalStateException("the client refused " + errors);
        return sent;
    }

    private Documents() {}

}
