package harness;

import com.yahoo.document.Document;
import com.yahoo.document.datatypes.TensorFieldValue;
import com.yahoo.tensor.Tensor;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What a content node holds of a document: it stands for proton, of which there is only C++. */
record Stored(String id, String documentId, String title, Tensor tokens) {

    /** The documents of a feed, as the schema's indexing makes them; where a title gives no tokens, zeros. */
    static List<Stored> of(Package deployed, Path feed) throws Exception {
        List<Stored> found = new ArrayList<>();
        try (Indexing indexing = new Indexing(deployed)) {
            Tensor none = new Texts(deployed, null, "ranker").document("");
            for (Document fed : Documents.read(deployed, feed)) {
                Document document = indexing.index(fed);
                TensorFieldValue tokens = (TensorFieldValue) document.getFieldValue("doc_token_ids");
                found.add(new Stored(document.getId().toString(), document.getFieldValue("document_id").toString(),
                                   document.getFieldValue("title").toString(),
                                   tokens == null ? none : tokens.getTensor().orElseThrow()));
            }
        }
        return found;
    }

}
