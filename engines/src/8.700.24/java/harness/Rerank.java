package harness;

import ai.vespa.modelintegration.evaluator.OnnxEvaluator;
import ai.vespa.modelintegration.evaluator.OnnxEvaluatorOptions;
import ai.vespa.modelintegration.evaluator.OnnxRuntime;
import com.yahoo.component.ComponentId;
import com.yahoo.component.provider.ComponentRegistry;
import com.yahoo.container.QrSearchersConfig;
import com.yahoo.data.access.helpers.MatchFeatureData;
import com.yahoo.language.process.Embedder;
import com.yahoo.search.Query;
import com.yahoo.search.Result;
import com.yahoo.search.config.SchemaInfoConfig;
import com.yahoo.search.ranking.GlobalPhaseRanker;
import com.yahoo.search.ranking.RankProfilesEvaluator;
import com.yahoo.search.ranking.RankProfilesEvaluatorFactory;
import com.yahoo.search.result.FeatureData;
import com.yahoo.search.result.Hit;
import com.yahoo.search.schema.SchemaInfo;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;
import com.yahoo.slime.Slime;
import com.yahoo.slime.Type;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.serialization.TypedBinaryFormat;

import java.lang.management.ManagementFactory;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** Stored as a content node sends them, in the order given, reordered by GlobalPhaseRanker, which no container is needed for. */
final class Rerank {

    private final AtomicInteger runs = new AtomicInteger();
    private final Package deployed;
    private final Map<String, Embedder> embedders;
    private final Features features;
    private final GlobalPhaseRanker ranker;

    private Rerank(Package deployed) {
        this.deployed = deployed;
        embedders = deployed.embedders();
        features = new Features(deployed);
        var registry = new ComponentRegistry<RankProfilesEvaluator>();
        registry.register(new ComponentId("ranking-expression-evaluator." + deployed.schema),
                          new Scores(deployed, counting()).evaluator);
        registry.freeze();
        ranker = new GlobalPhaseRanker(new RankProfilesEvaluatorFactory(registry));
    }

    /** Vespa's ONNX Runtime, which also counts how often a model is run; a proxy, as versions differ in its methods. */
    private OnnxRuntime counting() {
        OnnxRuntime vespas = OnnxRuntime.testInstance(); // EmbeddedOnnxRuntime, no GPU
        return (String path, OnnxEvaluatorOptions options) -> {
            OnnxEvaluator evaluator = vespas.evaluatorOf(path, options);
            return (OnnxEvaluator) Proxy.newProxyInstance(
                    OnnxEvaluator.class.getClassLoader(), new Class<?>[] { OnnxEvaluator.class }, (proxy, method, arguments) -> {
                        if (method.getName().equals("evaluate")) runs.incrementAndGet();
                        try {
                            return method.invoke(evaluator, arguments);
                        } catch (InvocationTargetException e) {
                            throw e.getCause();
                        }
                    });
        };
    }

    /** A query as a container makes it of a request's body. */
    private Query query(Inspector body) {
        Map<String, String> request = new LinkedHashMap<>();
        body.traverse((String name, Inspector value) ->
                request.put(name, value.type() == Type.STRING ? value.asString() : value.toString()));
        var schema = new SchemaInfoConfig.Builder();
        deployed.database.getConfig(schema);
        var searchers = new QrSearchersConfig.Builder();
        searchers.searchcluster(deployed.cluster.getQrSearcherConfig());
        Query query = new Query.Builder().setRequestMap(request).setEmbedders(embedders)
                                         .setSchemaInfo(new SchemaInfo(schema.build(), searchers.build())).build();
        query.getRanking().prepare();
        return query;
    }

    /** A result in the order given, of which relevance falls by 1 from 1000, with what the rank profile sends of a hit. */
    private Result result(Query query, List<Stored> hits) {
        String profile = query.getRanking().getProfile();
        List<String> names = features.names(profile);
        Map<String, Tensor> tensors = new HashMap<>();
        query.getRanking().getProperties().asMap().forEach((name, values) -> {
            if (values.get(0) instanceof Tensor tensor) tensors.put(name, tensor);
        });
        MatchFeatureData data = new MatchFeatureData(features.shown(profile));
        Result result = new Result(query);
        for (int i = 0; i < hits.size(); i++) {
            MatchFeatureData.HitValue values = data.addHit();
            for (int f = 0; f < names.size(); f++)
                if (names.get(f).startsWith("attribute"))
                    values.set(f, TypedBinaryFormat.encode(features.tensor(names.get(f), hits.get(i))));
                else values.set(f, features.number(profile, names.get(f), hits.get(i), tensors, 1000.0 - i));
            Hit hit = new Hit(hits.get(i).documentId(), 1000.0 - i);
            hit.setField("matchfeatures", new FeatureData(values));
            result.hits().add(hit);
        }
        return result;
    }

    /** Reranks; a thread's own processor time is hardly changed by what else runs on a machine. */
    private void rerank(Query query, List<Stored> hits, Cursor answer) {
        Result result = result(query, hits);
        var threads = ManagementFactory.getThreadMXBean();
        int before = runs.get();
        long clock = System.nanoTime(), cpu = threads.getCurrentThreadCpuTime();
        ranker.rerankHits(query, result, deployed.schema);
        answer.setDouble("cpu ms", (threads.getCurrentThreadCpuTime() - cpu) / 1e6);
        answer.setDouble("ms", (System.nanoTime() - clock) / 1e6);
        answer.setLong("runs", runs.get() - before);
        answer.setLong("asked for", ranker.getRerankCount(query, deployed.schema));
        Cursor order = answer.setArray("order"), relevance = answer.setArray("relevance"), shown = answer.setArray("shown");
        for (Hit hit : result.hits().asList()) {
            order.addString(hit.getId().toString());
            relevance.addDouble(hit.getRelevance().getScore());
            shown.addString(String.valueOf(hit.getField("matchfeatures")));
        }
    }

    /** Step rerank: all hits of a feed, by each of several bodies, in turns, so that a busy machine slows all alike. */
    static void step(Inspector request, Cursor answer) throws Exception {
        Package deployed = Package.deploy(request.field("application").asString());
        Rerank rerank = new Rerank(deployed);
        List<Stored> hits = Stored.of(deployed, Path.of(request.field("feed").asString()));
        rerank.features.bm25(request.field("bm25"));
        Map<Query, Cursor> rounds = new LinkedHashMap<>();
        request.field("bodies").traverse((String name, Inspector body) ->
                rounds.put(rerank.query(body), answer.setArray(name)));
        for (Query query : rounds.keySet()) rerank.rerank(query, hits.subList(0, Math.min(10, hits.size())), new Slime().setObject());
        for (int round = 0; round < request.field("rounds").asLong(); round++)
            rounds.forEach((query, found) -> rerank.rerank(query, hits, found.addObject()));
    }

}
