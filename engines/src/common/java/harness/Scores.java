package harness;

import ai.vespa.modelintegration.evaluator.OnnxRuntime;
import ai.vespa.models.evaluation.FunctionEvaluator;
import com.yahoo.filedistribution.fileacquirer.FileAcquirer;
import com.yahoo.filedistribution.fileacquirer.MockFileAcquirer;
import com.yahoo.language.huggingface.HuggingFaceTokenizer;
import com.yahoo.search.ranking.RankProfilesEvaluator;
import com.yahoo.slime.ArrayTraverser;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;
import com.yahoo.tensor.Tensor;
import com.yahoo.vespa.config.search.core.RankingConstantsConfig;
import com.yahoo.vespa.config.search.core.RankingExpressionsConfig;

import java.io.File;
import java.util.HashMap;
import java.util.Map;

/** A rank profile's global phase, by the code that a container runs. */
final class Scores {

    final RankProfilesEvaluator evaluator;

    Scores(Package deployed, OnnxRuntime onnx) {
        Map<String, File> files = new HashMap<>();
        for (var model : deployed.onnxModels().model())
            files.put(model.fileref().value(), deployed.folder.resolve(model.fileref().value()).toFile());
        FileAcquirer acquirer = MockFileAcquirer.returnFiles(files);
        var constants = new RankingConstantsConfig.Builder();
        deployed.database.getConfig(constants);
        var expressions = new RankingExpressionsConfig.Builder();
        deployed.database.getConfig(expressions);
        this.evaluator = Version.evaluator(deployed.rankProfiles(), constants.build(), expressions.build(),
                                           deployed.onnxModels(), acquirer, onnx);
    }

    double score(String profile, Tensor query, Tensor document) {
        FunctionEvaluator bound = evaluator.modelForRankProfile(profile).evaluatorOf("globalphase");
        for (String argument : bound.function().arguments())
            bound.bind(argument, argument.startsWith("query") ? query : document);
        return bound.evaluate().asDouble();
    }

    /** Step scores: of pairs of a query and a title, by a rank profile. */
    static void step(Inspector request, Cursor answer) throws Exception {
        Package deployed = Package.deploy(request.field("application").asString());
        String profile = request.field("profile").asString();
        Scores scores = new Scores(deployed, Version.onnx());
        try (HuggingFaceTokenizer tokenizer = deployed.tokenizer()) {
            Texts texts = new Texts(deployed, tokenizer, profile);
            Cursor found = answer.setArray("scores");
            request.field("pairs").traverse((ArrayTraverser) (int i, Inspector pair) -> found.addDouble(scores.score(
                    profile, texts.query(pair.entry(0).asString()), texts.document(pair.entry(1).asString()))));
        }
    }

}
