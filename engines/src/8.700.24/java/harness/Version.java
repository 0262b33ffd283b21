package harness;

import ai.vespa.embedding.HuggingFaceEmbedder;
import ai.vespa.modelintegration.evaluator.OnnxRuntime;
import ai.vespa.modelintegration.evaluator.config.OnnxEvaluatorConfig;
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

/** What differs between versions of Vespa: here the newest, in which everything runs. */
final class Version {

    static Map<String, Main.Step> steps() {
        return Map.of("deploy", Package::step, "tokens", Texts::step, "scores", Scores::step, "index", Indexing::step,
                      "rerank", Rerank::step, "ask", Container::step, "characters", Characters::step,
                      "words", Words::step, "vectors", Texts::vectors);
    }

    static FilesApplicationPackage read(File folder) { return FilesApplicationPackage.fromDir(folder, Map.of()); }

    /** The tokenizer's file, which a config server only names. */
    static Path file(Path folder, HuggingFaceTokenizerConfig.Model model) {
        return folder.resolve(model.pathReference().path().orElseThrow().value());
    }

    /** Vespa's own embedder, as a container makes it of what services.xml declares. */
    static Embedder embedder(Package deployed, String configId, String component, HuggingFaceEmbedderConfig config) {
        return new HuggingFaceEmbedder(onnx(), Embedder.Runtime.testInstance(), config,
                                       deployed.model.getConfig(OnnxEvaluatorConfig.class, configId),
                                       model -> deployed.folder.resolve(model.path().orElseThrow().value()));
    }

    static OnnxRuntime onnx() { return OnnxRuntime.testInstance(); } // EmbeddedOnnxRuntime, no GPU

    static RankProfilesEvaluator evaluator(RankProfilesConfig profiles, RankingConstantsConfig constants,
                                           RankingExpressionsConfig expressions, OnnxModelsConfig models, FileAcquirer files,
                                           OnnxRuntime onnx) {
        return new RankProfilesEvaluator(profiles, constants, expressions, models, files, onnx);
    }

    private Version() {}

}
