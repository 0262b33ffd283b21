package harness;

import com.yahoo.document.Document;
import com.yahoo.document.datatypes.NumericFieldValue;
import com.yahoo.document.datatypes.StringFieldValue;
import com.yahoo.document.datatypes.TensorFieldValue;
import com.yahoo.tensor.Tensor;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a content node holds of a document: it stands for proton, of which there is only C++. */
record Stored(String id, String documentId, Map<String, String> texts, Map<String, Tensor> tensors, Map<String, Double> numbers) {

    /** The documents of a feed, as the schema's indexing makes them; where a title gives no tensor, zeros. */
    static List<Stored> of(Package deployed, Path feed) throws Exception {
        List<Stored> found = new ArrayList<>();
        try (Indexing indexing = new Indexing(deployed)) {
            for (Document fed : Documents.read(deployed, feed)) found.add(of(deployed, indexing.index(fed)));
        }
        return found;
    }

    private static Stored of(Package deployed, Document document) {
        Map<String, String> texts = new LinkedHashMap<>();
        Map<String, Double> numbers = new LinkedHashMap<>();
        document.iterator().forEachRemaining(field -> {
            String name = field.getKey().getName();
            if (field.getValue() instanceof StringFieldValue text) texts.put(name, text.getString());
            if (field.getValue() instanceof NumericFieldValue number) numbers.put(name, number.getNumber().doubleValue());
        });
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        deployed.tensorTypes().forEach((name, type) -> {
            TensorFieldValue value = (TensorFieldValue) document.getFieldValue(name);
            tensors.put(name, value == null ? Tensor.generate(type, __ -> 0.0) : value.getTensor().orElseThrow());
        });
        return new Stored(document.getId().toString(), document.getId().getScheme().getNamespaceSpecific(), texts, tensors, numbers);
    }

}
