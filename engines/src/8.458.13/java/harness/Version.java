package harness;

import ai.vespa.embedding.huggingface.HuggingFaceEmbedder;
import ai.vespa.modelintegration.evaluator.OnnxRuntime;
import com.yahoo.config.ModelReference;
import com.yahoo.config.model.application.provider.FilesApplicationPackage;
import com.yahoo.filedistribution.fileacquirer.FileAcquirer;
import com.yahoo.embedding.huggingface.HuggingFaceEmbedderConfig;
import com.yahoo.language.huggingface.config.HuggingFaceTokenizerConfig;
import com.yahoo.language.process.Embedder;
import com.yahoo.search.ranking.RankProfilesEvaluator;
import com.yahoo.vespa.config.search.RankProfilesConfig;
import com.yahoo.vespa.config.search.core.OnnxModelsConfig;
import com.yahoo.vespa.config.search.core.RankingConstantsConfig;
import com.yahoo.vespa.config.search.core.RankingExpressionsConfig;

import java.io.File;
import java.nio.file.Path;
import java.util.Map;

/** What differs between versions of Vespa: here the oldest, in which a package is deployed and pairs are scored. */
final class Version {

    static Map<String, Main.Step> steps() {
        return Map.of("deploy", Package::step, "tokens", Texts::step, "scores", Scores::step,
                      "words", Words::step, "vectors", Texts::vectors);
    }

    static FilesApplicationPackage read(File folder) { return FilesApplicationPackage.fromFile(folder); }

    /** The tokenizer's file, whose name this version does not tell. */
    static Path file(Path folder, HuggingFaceTokenizerConfig.Model model) {
        return folder.resolve("tokenizer/tokenizer.json");
    }

    /** Vespa's own embedder; this version does not tell its files' names, so they are those that services.xml has. */
    static Embedder embedder(Package deployed, String configId, String component, HuggingFaceEmbedderConfig config) {
        Path model = deployed.folder.resolve("files/" + component + ".onnx");
        Path tokenizer = deployed.folder.resolve("tokenizer/" + component + ".json");
        var resolved = new HuggingFaceEmbedderConfig.Builder(config)
                .transformerModel(ModelReference.resolved(model.toAbsolutePath()))
                .tokenizerPath(ModelReference.resolved(tokenizer.toAbsolutePath()));
        return new HuggingFaceEmbedder(new OnnxRuntime(), Embedder.Runtime.testInstance(), resolved.build());
    }

    static OnnxRuntime onnx() { return null; } // a rank profile brings its own

    static RankProfilesEvaluator evaluator(RankProfilesConfig profiles, RankingConstantsConfig constants,
                                           RankingExpressionsConfig expressions, OnnxModelsConfig models, FileAcquirer files,
                                           OnnxRuntime onnx) {
        return new RankProfilesEvaluator(profiles, constants, expressions, models, files);
    }

    private Version() {}

}
