package harness;

import ai.vespa.opennlp.OpenNlpConfig;
import com.yahoo.component.Vtag;
import com.yahoo.config.ModelReference;
import com.yahoo.config.application.api.ApplicationPackage;
import com.yahoo.config.application.api.DeployLogger;
import com.yahoo.config.model.NullConfigModelRegistry;
import com.yahoo.config.model.api.ValidationParameters;
import com.yahoo.config.model.application.provider.ApplicationPackageXmlFilesValidator;
import com.yahoo.config.model.application.provider.FilesApplicationPackage;
import com.yahoo.config.model.application.provider.MockFileRegistry;
import com.yahoo.config.model.application.provider.StaticConfigDefinitionRepo;
import com.yahoo.config.model.deploy.DeployState;
import com.yahoo.config.model.deploy.TestProperties;
import com.yahoo.config.provision.Zone;
import com.yahoo.embedding.huggingface.HuggingFaceEmbedderConfig;
import com.yahoo.language.huggingface.HuggingFaceTokenizer;
import com.yahoo.language.huggingface.config.HuggingFaceTokenizerConfig;
import com.yahoo.language.opennlp.OpenNlpLinguistics;
import com.yahoo.language.process.Embedder;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;
import com.yahoo.tensor.TensorType;
import com.yahoo.vespa.config.search.AttributesConfig;
import com.yahoo.vespa.config.search.DispatchNodesConfig;
import com.yahoo.vespa.config.search.RankProfilesConfig;
import com.yahoo.vespa.config.search.core.OnnxModelsConfig;
import com.yahoo.vespa.configdefinition.IlscriptsConfig;
import com.yahoo.vespa.model.VespaModel;
import com.yahoo.vespa.model.application.validation.Validation;
import com.yahoo.vespa.model.search.DocumentDatabase;
import com.yahoo.vespa.model.search.IndexedSearchCluster;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.logging.Level;
import java.util.stream.Stream;

/**
 * An application package, deployed as a config server does it, in one process: RELAX NG of services.xml, file extensions,
 * schema, rank profiles, the whole model with ports, and all validators.
 *
 * After com.yahoo.vespa.model.VespaModelFactory.createAndValidateModel, and VespaModelCreatorWithFilePkg of config-model's
 * test-jar.
 */
final class Package {

    static final String TOKENIZER = "tokenizer", RETRIEVER = "retriever_";

    final Path folder;
    final String schema;
    final DeployState state;
    final VespaModel model;
    final IndexedSearchCluster cluster;
    final DocumentDatabase database;
    final List<String> messages = new ArrayList<>();

    private Package(Path folder, boolean validate) throws Exception {
        this.folder = folder;
        this.schema = schema(folder);
        DeployLogger logger = (Level level, String message) -> messages.add(level + ": " + message);
        var xml = ApplicationPackageXmlFilesValidator.create(folder.toFile(), Vtag.currentVersion);
        xml.checkApplication();
        FilesApplicationPackage files = Version.read(folder.toFile());
        xml.checkIncludedDirs(files);
        files.validateFileExtensions(); // as SessionRepository does
        ApplicationPackage preprocessed = files.preprocess(Zone.defaultZone(), logger);
        preprocessed.validateXML();
        ValidationParameters parameters = new ValidationParameters(); // no error is ignored, routing is checked
        this.state = new DeployState.Builder()
                .applicationPackage(preprocessed)
                .fileRegistry(new MockFileRegistry()) // a file's reference is its path in the package
                .configDefinitionRepo(definitions())
                .deployLogger(logger)
                .properties(new TestProperties().setFirstTimeDeployment(true))
                .vespaVersion(Vtag.currentVersion)
                .build(parameters);
        this.model = new VespaModel(new NullConfigModelRegistry(), state);
        if (validate) new Validation().validate(model, parameters, state);
        this.cluster = (IndexedSearchCluster) model.getSearchClusters().get(0);
        this.database = cluster.getDocumentDB(schema);
    }

    /** The name of the only schema. */
    private static String schema(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder.resolve("schemas"))) {
            String file = files.map(path -> path.getFileName().toString()).filter(name -> name.endsWith(".sd")).findFirst().orElseThrow();
            return file.substring(0, file.length() - ".sd".length());
        }
    }

    /** What services.xml may configure, which a config server has on disk: here the linguistics, as in their jar. */
    private static StaticConfigDefinitionRepo definitions() throws IOException {
        Path folder = Files.createTempDirectory("definitions-");
        try (InputStream definition = OpenNlpConfig.class.getResourceAsStream("/configdefinitions/open-nlp.def")) {
            Files.copy(definition, folder.resolve("ai.vespa.opennlp.open-nlp.def"));
        }
        return new StaticConfigDefinitionRepo(folder.toFile());
    }

    /** A copy of the package in a folder, because Vespa writes into what it reads. */
    static Package deploy(String folder) throws Exception {
        Path copy = Files.createTempDirectory("package-");
        copy(Path.of(folder), copy);
        return new Package(copy, true);
    }

    /** Not validated, because it was changed for com.yahoo.application.Application. */
    static Package unchecked(Path folder) throws Exception { return new Package(folder, false); }

    static void copy(Path from, Path to) {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Path target = to.resolve(from.relativize(file).toString());
                if (Files.isDirectory(file)) Files.createDirectories(target);
                else Files.copy(file, target);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    RankProfilesConfig rankProfiles() {
        var builder = new RankProfilesConfig.Builder();
        database.getConfig(builder);
        return builder.build();
    }

    OnnxModelsConfig onnxModels() {
        var builder = new OnnxModelsConfig.Builder();
        database.getConfig(builder);
        return builder.build();
    }

    IlscriptsConfig.Ilscript indexing() {
        var builder = new IlscriptsConfig.Builder();
        database.getConfig(builder);
        return builder.build().ilscript(0);
    }

    DispatchNodesConfig.Node contentNode() {
        var builder = new DispatchNodesConfig.Builder();
        cluster.getConfig(builder);
        return builder.build().node(0);
    }

    /** What makes words of text, as services.xml configures the container. */
    OpenNlpLinguistics linguistics() { return new OpenNlpLinguistics(model.getConfig(OpenNlpConfig.class, "default")); }

    /** The values that a rank profile has of a property. */
    List<String> properties(String profile, String name) {
        return rankProfiles().rankprofile().stream().filter(p -> p.name().equals(profile)).findFirst().orElseThrow()
                             .fef().property().stream().filter(p -> p.name().equals(name))
                             .map(RankProfilesConfig.Rankprofile.Fef.Property::value).toList();
    }

    /** Vespa's own tokenizer (ai.djl.huggingface, in Rust), as a container makes it of what services.xml declares. */
    HuggingFaceTokenizer tokenizer() {
        String id = model.allConfigIds().stream().filter(i -> i.endsWith("/component/" + TOKENIZER)).findFirst().orElseThrow();
        HuggingFaceTokenizerConfig config = model.getConfig(HuggingFaceTokenizerConfig.class, id);
        var builder = new HuggingFaceTokenizerConfig.Builder()
                .addSpecialTokens(config.addSpecialTokens()).maxLength(config.maxLength())
                .truncation(config.truncation()).padding(config.padding());
        for (var file : config.model())
            builder.model(new HuggingFaceTokenizerConfig.Model.Builder().language(file.language()).path(
                    ModelReference.resolved(Version.file(folder, file).toAbsolutePath())));
        return new HuggingFaceTokenizer(builder.build());
    }

    /** What `embed ID` calls: the tokenizer, and each retriever, by its component's id. */
    Map<String, Embedder> embedders() {
        Map<String, Embedder> found = new LinkedHashMap<>(Map.of(TOKENIZER, tokenizer()));
        for (String id : model.allConfigIds()) {
            String component = id.substring(id.lastIndexOf('/') + 1);
            if (id.contains("/component/" + RETRIEVER))
                found.put(component, Version.embedder(this, id, component, model.getConfig(HuggingFaceEmbedderConfig.class, id)));
        }
        return found;
    }

    /** The tensor attributes' types by field. */
    Map<String, TensorType> tensorTypes() {
        var attributes = new AttributesConfig.Builder();
        database.getConfig(attributes);
        Map<String, TensorType> found = new LinkedHashMap<>();
        for (var attribute : attributes.build().attribute())
            if ( ! attribute.tensortype().isEmpty()) found.put(attribute.name(), TensorType.fromSpec(attribute.tensortype()));
        return found;
    }

    /** Step deploy: what came of the package, and what the config server said. */
    static void step(Inspector request, Cursor answer) throws Exception {
        Package deployed = deploy(request.field("application").asString());
        answer.setString("version", Vtag.currentVersion.toFullString());
        strings(answer.setArray("messages"), deployed.messages);
        Cursor profiles = answer.setObject("profiles");
        for (var profile : deployed.rankProfiles().rankprofile()) {
            Cursor properties = profiles.setObject(profile.name());
            for (var property : profile.fef().property())
                if ( ! properties.field(property.name()).valid())
                    strings(properties.setArray(property.name()), deployed.properties(profile.name(), property.name()));
        }
        Cursor models = answer.setObject("models");
        for (var onnx : deployed.onnxModels().model()) {
            Cursor found = models.setObject(onnx.name());
            found.setString("file", onnx.fileref().value());
            found.setLong("threads", onnx.stateless_intraop_threads());
            for (var input : onnx.input()) found.setString("input " + input.name(), input.source());
            for (var output : onnx.output()) found.setString("output " + output.name(), output.as());
        }
        var attributes = new AttributesConfig.Builder();
        deployed.database.getConfig(attributes);
        Cursor types = answer.setObject("attributes");
        for (var attribute : attributes.build().attribute())
            types.setString(attribute.name(), (attribute.tensortype().isEmpty() ? "" + attribute.datatype() : attribute.tensortype()) +
                                              (attribute.index().hnsw().enabled() ? " hnsw " + attribute.distancemetric() : ""));
        strings(answer.setArray("fed"), deployed.indexing().docfield());
        strings(answer.setArray("indexing"), deployed.indexing().content());
        answer.setString("indexed by", deployed.model.getContentClusters().values().iterator().next().getSearch()
                                               .getIndexingDocproc().getServiceName());
        answer.setBool("model was probed", Files.exists(Path.of(System.getenv("HARNESS_TARGET"), "onnx-probes.txt")));
    }

    static void strings(Cursor array, List<String> values) { values.forEach(array::addString); }

}
