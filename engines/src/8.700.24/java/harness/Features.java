package harness;

import com.yahoo.searchlib.rankingexpression.RankingExpression;
import com.yahoo.searchlib.rankingexpression.evaluation.DoubleValue;
import com.yahoo.searchlib.rankingexpression.evaluation.MapContext;
import com.yahoo.searchlib.rankingexpression.evaluation.TensorValue;
import com.yahoo.searchlib.rankingexpression.parser.ParseException;
import com.yahoo.slime.Inspector;
import com.yahoo.tensor.Tensor;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What a content node sends of a hit: the profile's match features. It computes functions of tensors by the deployed
 * expressions; BM25, of which there is only C++, is given by document id.
 */
final class Features {

    private static final String BM25 = "rankingExpression(bm25_score)";

    private final Package deployed;
    private final Map<String, Double> bm25 = new HashMap<>();
    private final Map<String, RankingExpression> expressions = new HashMap<>();

    Features(Package deployed) { this.deployed = deployed; }

    /** Takes the BM25 scores of a request, an object of numbers by document id. */
    void bm25(Inspector scores) {
        bm25.clear();
        scores.traverse((String id, Inspector score) -> bm25.put(id, score.asDouble()));
    }

    List<String> names(String profile) { return deployed.properties(profile, "vespa.match.feature"); }

    /** The names that a content node sends: those that the profile renames have their new ones. */
    List<String> shown(String profile) {
        List<String> pairs = deployed.properties(profile, "vespa.feature.rename");
        Map<String, String> renamed = new HashMap<>();
        for (int i = 0; i < pairs.size(); i += 2) renamed.put(pairs.get(i), pairs.get(i + 1));
        return names(profile).stream().map(name -> renamed.getOrDefault(name, name)).toList();
    }

    /** A tensor, of a feature that names an attribute. */
    Tensor tensor(String name, Stored hit) { return hit.tensors().get(name.substring("attribute(".length(), name.length() - 1)); }

    /** A number: BM25's that was given, or by the profile's expression; another feature is the hit's relevance. */
    double number(String profile, String name, Stored hit, Map<String, Tensor> query, double relevance) {
        if (name.equals(BM25)) return bm25.getOrDefault(hit.documentId(), relevance);
        List<String> script = deployed.properties(profile, name + ".rankingScript");
        if (script.isEmpty()) return relevance;
        MapContext context = new MapContext();
        query.forEach((key, value) -> context.put("query(" + key + ")", new TensorValue(value)));
        hit.numbers().forEach((key, value) -> context.put("attribute(" + key + ")", new DoubleValue(value)));
        hit.tensors().forEach((key, value) -> context.put("attribute(" + key + ")", new TensorValue(value)));
        return expressions.computeIfAbsent(script.get(0), Features::parsed).evaluate(context).asDouble();
    }

    private static RankingExpression parsed(String script) {
        try {
            return new RankingExpression(script);
        } catch (ParseException e) {
            throw new IllegalArgumentException(script, e);
        }
    }

}
