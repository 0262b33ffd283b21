package harness;

import ai.vespa.modelintegration.evaluator.OnnxRuntime;
import com.yahoo.config.model.application.provider.FilesApplicationPackage;
import com.yahoo.filedistribution.fileacquirer.FileAcquirer;
import com.yahoo.language.huggingface.config.HuggingFaceTokenizerConfig;
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
                      "words", Words::step);
    }

    static FilesApplicationPackage read(File folder) { return FilesApplicationPackage.fromFile(folder); }

    /** The tokenizer's file, whose name this version does not tell. */
    static Path file(Path folder, HuggingFaceTokenizerConfig.Model model) {
        return folder.resolve("tokenizer/tokenizer.json");
    }

    static OnnxRuntime onnx() { return null; } // a rank profile brings its own

    static RankProfilesEvaluator evaluator(RankProfilesConfig profiles, RankingConstantsConfig constants,
                                           RankingExpressionsConfig expressions, OnnxModelsConfig models, FileAcquirer files,
                                           OnnxRuntime onnx) {
        return new RankProfilesEvaluator(profiles, constants, expressions, models, files);
    }

    private Version() {}

}
