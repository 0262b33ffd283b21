package harness;

import com.yahoo.language.huggingface.HuggingFaceTokenizer;
import com.yahoo.language.process.Embedder;
import com.yahoo.slime.ArrayTraverser;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.TensorType;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;

/** Texts as tensors, by the types that the schema declares. */
final class Texts {

    private final HuggingFaceTokenizer tokenizer;
    private final TensorType queryType, documentType;

    Texts(Package deployed, HuggingFaceTokenizer tokenizer, String profile) {
        this.tokenizer = tokenizer;
        this.queryType = TensorType.fromSpec(deployed.properties(profile, "vespa.type.query.query_token_ids").get(0));
        this.documentType = deployed.tensorTypes().get("doc_token_ids");
    }

    /** What `embed(tokenizer, @text)` gives, as com.yahoo.search.schema.internal.TensorConverter has it. */
    Tensor query(String text) { return tensor(text, queryType, "query(query_token_ids)"); }

    /** What `input title | embed tokenizer` gives; of a blank title, it makes none, and the attribute's default is zeros. */
    Tensor document(String title) { return tensor(title, documentType, "doc.doc_token_ids"); }

    private Tensor tensor(String text, TensorType type, String destination) {
        if (text.isBlank()) return Tensor.generate(type, __ -> 0.0);
        return tokenizer.embed(text, new Embedder.Context(destination), type);
    }

    static void cells(Cursor array, Tensor tensor) {
        for (var cells = tensor.valueIterator(); cells.hasNext(); ) array.addDouble(cells.next());
    }

    static List<String> strings(Inspector array) {
        List<String> found = new ArrayList<>();
        array.traverse((ArrayTraverser) (int i, Inspector value) -> found.add(value.asString()));
        return found;
    }

    /** Step vectors: those of texts by a retriever, as a query and as a document, into the types that the schema declares. */
    static void vectors(Inspector request, Cursor answer) throws Exception {
        Package deployed = Package.deploy(request.field("application").asString());
        String field = request.field("field").asString();
        TensorType type = deployed.tensorTypes().get(field);
        Embedder embedder = deployed.embedders().get(request.field("retriever").asString());
        Cursor queries = answer.setArray("queries"), documents = answer.setArray("documents"), ms = answer.setArray("cpu ms");
        var threads = ManagementFactory.getThreadMXBean();
        for (String text : strings(request.field("texts"))) {
            long start = threads.getCurrentThreadCpuTime();
            Tensor query = embedder.embed(text, new Embedder.Context("query(" + field + ")"), type);
            ms.addDouble((threads.getCurrentThreadCpuTime() - start) / 1e6);
            cells(queries.addArray(), query);
            cells(documents.addArray(), embedder.embed(text, new Embedder.Context(deployed.schema + "." + field), type));
        }
    }

    /** Step tokens: the tensors of texts, as a query and as a document. */
    static void step(Inspector request, Cursor answer) throws Exception {
        Package deployed = Package.deploy(request.field("application").asString());
        try (HuggingFaceTokenizer tokenizer = deployed.tokenizer()) {
            Texts texts = new Texts(deployed, tokenizer, "ranker");
            Cursor queries = answer.setArray("queries"), documents = answer.setArray("documents");
            for (String text : strings(request.field("texts"))) {
                cells(queries.addArray(), texts.query(text));
                cells(documents.addArray(), texts.document(text));
            }
        }
    }

}
