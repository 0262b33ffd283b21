package harness;

import com.yahoo.component.AbstractComponent;
import com.yahoo.document.Document;
import com.yahoo.document.DocumentType;
import com.yahoo.document.DocumentUpdate;
import com.yahoo.document.annotation.SpanTrees;
import com.yahoo.document.datatypes.FieldValue;
import com.yahoo.document.datatypes.StringFieldValue;
import com.yahoo.document.datatypes.TensorFieldValue;
import com.yahoo.document.update.FieldUpdate;
import com.yahoo.language.process.Embedder;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;
import com.yahoo.vespa.indexinglanguage.FieldValuesFactory;
import com.yahoo.vespa.indexinglanguage.ScriptParserContext;
import com.yahoo.vespa.indexinglanguage.expressions.Expression;
import com.yahoo.vespa.indexinglanguage.expressions.OutputExpression;
import com.yahoo.vespa.indexinglanguage.expressions.ScriptExpression;
import com.yahoo.vespa.indexinglanguage.expressions.StatementExpression;
import com.yahoo.vespa.indexinglanguage.parser.IndexingInput;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What the schema's own indexing makes of a document. After com.yahoo.docprocs.indexing.ScriptManager, whose artifact
 * (docprocs) is not on Maven Central.
 */
final class Indexing implements AutoCloseable {

    private final Map<String, Embedder> embedders;
    private final DocumentType type;
    private final ScriptExpression script;

    Indexing(Package deployed) throws Exception {
        embedders = deployed.embedders();
        type = Documents.types(deployed).getDocumentType(deployed.schema);
        var context = new ScriptParserContext(deployed.linguistics(), Map.of(), embedders, Map.of());
        List<StatementExpression> statements = new ArrayList<>();
        for (String content : deployed.indexing().content()) {
            var statement = StatementExpression.newInstance(context.setInputStream(new IndexingInput(content)));
            var outputs = new OutputExpression.OutputFieldNameExtractor();
            statement.select(outputs, outputs);
            for (String output : outputs.getOutputFieldNames()) statement.setStatementOutput(type, type.getField(output));
            statements.add(statement);
        }
        script = new ScriptExpression(statements);
        script.resolve(type);
    }

    Document index(Document document) { return script.execute(new FieldValuesFactory(), document, false, null); }

    DocumentUpdate index(DocumentUpdate update) { return Expression.execute(script, new FieldValuesFactory(), update, null); }

    @Override public void close() { embedders.values().forEach(embedder -> ((AbstractComponent) embedder).deconstruct()); }

    /** The words of a text, as they are indexed. */
    private static List<String> terms(StringFieldValue title) {
        List<String> terms = new ArrayList<>();
        var tree = title.getSpanTree(SpanTrees.LINGUISTICS);
        if (tree != null)
            tree.iterator().forEachRemaining(annotation -> terms.add(
                    annotation.hasFieldValue() ? annotation.getFieldValue().toString()
                                               : annotation.getSpanNode().getText(title.getString()).toString()));
        return terms;
    }

    private static void tensor(Cursor object, String field, FieldValue value) {
        if (value != null) Texts.cells(object.setArray(field), ((TensorFieldValue) value).getTensor().orElseThrow());
    }

    /** Step index: the documents of a feed, with the tensors that are made of each, and an update of one field alone. */
    static void step(Inspector request, Cursor answer) throws Exception {
        Package deployed = Package.deploy(request.field("application").asString());
        String field = request.field("field").asString();
        List<Document> documents = Documents.read(deployed, Path.of(request.field("feed").asString()));
        try (Indexing indexing = new Indexing(deployed)) {
            Cursor found = answer.setArray("documents");
            long start = System.nanoTime();
            List<Document> indexed = documents.stream().map(indexing::index).toList();
            answer.setDouble("ms a document", (System.nanoTime() - start) / 1e6 / documents.size());
            for (Document document : indexed) {
                Cursor one = found.addObject();
                one.setString("id", document.getId().toString());
                one.setString("document_id", document.getId().getScheme().getNamespaceSpecific());
                StringFieldValue text = (StringFieldValue) document.getFieldValue(field);
                one.setString(field, text.getString());
                deployed.tensorTypes().keySet().forEach(name -> tensor(one, name, document.getFieldValue(name)));
                Package.strings(one.setArray("terms"), terms(text));
            }
            var update = new DocumentUpdate(indexing.type, "id:" + deployed.schema + ":" + deployed.schema + "::any");
            update.addFieldUpdate(FieldUpdate.createAssign(indexing.type.getField(field),
                                                           new StringFieldValue(request.field("update").asString())));
            DocumentUpdate updated = indexing.index(update);
            Cursor one = answer.setObject("update");
            Package.strings(one.setArray("fields"), updated.fieldUpdates().stream().map(f -> f.getField().getName()).sorted().toList());
            for (String name : deployed.tensorTypes().keySet())
                tensor(one, name, (FieldValue) updated.getFieldUpdate(name).getValueUpdate(0).getValue());
        }
    }

}
