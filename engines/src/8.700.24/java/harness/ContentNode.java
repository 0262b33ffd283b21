package harness;

import ai.vespa.searchlib.searchprotocol.protobuf.SearchProtocol;
import com.google.protobuf.ByteString;
import com.yahoo.compress.CompressionType;
import com.yahoo.compress.Compressor;
import com.yahoo.document.DocumentId;
import com.yahoo.jrt.Acceptor;
import com.yahoo.jrt.DataValue;
import com.yahoo.jrt.Int32Value;
import com.yahoo.jrt.Int8Value;
import com.yahoo.jrt.ListenFailedException;
import com.yahoo.jrt.Method;
import com.yahoo.jrt.Request;
import com.yahoo.jrt.Spec;
import com.yahoo.jrt.Supervisor;
import com.yahoo.jrt.Transport;
import com.yahoo.slime.BinaryFormat;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Slime;
import com.yahoo.io.GrowableByteBuffer;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.serialization.TypedBinaryFormat;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Stands in for proton, Vespa's content node in C++: answers the container's three RPCs (search_protocol.proto) with the
 * hits that it is given, in that order, and what the asked rank profile sends of a hit.
 */
final class ContentNode implements AutoCloseable {

    private interface Answer { byte[] to(byte[] payload) throws Exception; }

    /** What the next search finds, and the last one that was asked, if any. */
    volatile List<Stored> hits = List.of();
    volatile SearchProtocol.SearchRequest asked;

    private final Features features;
    private final Map<ByteString, Stored> byGlobalId = new HashMap<>();
    private final Supervisor supervisor = new Supervisor(new Transport("content-node"));
    private final Acceptor acceptor;
    private final Compressor compressor = new Compressor();

    ContentNode(int port, List<Stored> documents, Features features) throws ListenFailedException {
        this.features = features;
        for (Stored document : documents) byGlobalId.put(globalId(document), document);
        answer("ping", this::ping);
        answer("search", this::search);
        answer("getDocsums", this::docsums);
        acceptor = supervisor.listen(new Spec(port));
    }

    private static ByteString globalId(Stored document) {
        return ByteString.copyFrom(new DocumentId(document.id()).getGlobalId());
    }

    /** In and out: compression, size, bytes. */
    private void answer(String name, Answer answer) {
        supervisor.addMethod(new Method("vespa.searchprotocol." + name, "bix", "bix", (Request request) -> {
            try {
                CompressionType type = CompressionType.valueOf(request.parameters().get(0).asInt8());
                byte[] payload = compressor.decompress(request.parameters().get(2).asData(), type,
                                                       request.parameters().get(1).asInt32());
                byte[] reply = answer.to(payload);
                request.returnValues().add(new Int8Value(CompressionType.NONE.getCode()));
                request.returnValues().add(new Int32Value(reply.length));
                request.returnValues().add(new DataValue(reply));
            } catch (Exception e) {
                e.printStackTrace(System.out);
                request.setError(100000, e.toString());
            }
        }));
    }

    private byte[] ping(byte[] payload) {
        return SearchProtocol.MonitorReply.newBuilder().setOnline(true).setDistributionKey(0)
                                          .setActiveDocs(byGlobalId.size()).setTargetActiveDocs(byGlobalId.size())
                                          .build().toByteArray();
    }

    private byte[] search(byte[] payload) throws Exception {
        SearchProtocol.SearchRequest request = SearchProtocol.SearchRequest.parseFrom(payload);
        var reply = SearchProtocol.SearchReply.newBuilder()
                .setTotalHitCount(hits.size()).setCoverageDocs(byGlobalId.size())
                .setActiveDocs(byGlobalId.size()).setTargetActiveDocs(byGlobalId.size());
        if (request.getHits() == 0) // SearchHandler.warmup: where true limit 0, in rank profile unranked
            return reply.build().toByteArray();
        asked = request;
        String profile = request.getRankProfile();
        List<String> names = features.names(profile);
        Map<String, Tensor> query = new HashMap<>();
        for (var property : request.getTensorRankPropertiesList())
            query.put(property.getName(), TypedBinaryFormat.decode(Optional.empty(), GrowableByteBuffer.wrap(property.getValue().toByteArray())));
        reply.addAllMatchFeatureNames(features.shown(profile));
        int end = Math.min(hits.size(), request.getOffset() + request.getHits());
        for (int i = request.getOffset(); i < end; i++) {
            var hit = SearchProtocol.Hit.newBuilder().setGlobalId(globalId(hits.get(i))).setRelevance(1000.0 - i);
            for (String name : names) {
                var feature = SearchProtocol.Feature.newBuilder();
                if (name.startsWith("attribute"))
                    feature.setTensor(ByteString.copyFrom(TypedBinaryFormat.encode(features.tensor(name, hits.get(i)))));
                else feature.setNumber(features.number(profile, name, hits.get(i), query, 1000.0 - i));
                hit.addMatchFeatures(feature);
            }
            reply.addHits(hit);
        }
        return reply.build().toByteArray();
    }

    private byte[] docsums(byte[] payload) throws Exception {
        SearchProtocol.DocsumRequest request = SearchProtocol.DocsumRequest.parseFrom(payload);
        Slime slime = new Slime();
        Cursor docsums = slime.setObject().setArray("docsums");
        for (ByteString id : request.getGlobalIdsList()) {
            Stored document = byGlobalId.get(id);
            Cursor docsum = docsums.addObject().setObject("docsum");
            docsum.setString("documentid", document.id());
            document.texts().forEach(docsum::setString);
        }
        return SearchProtocol.DocsumReply.newBuilder().setSlimeSummaries(ByteString.copyFrom(BinaryFormat.encode(slime)))
                                         .build().toByteArray();
    }

    @Override public void close() {
        acceptor.shutdown().join();
        supervisor.transport().shutdown().join();
    }

}
