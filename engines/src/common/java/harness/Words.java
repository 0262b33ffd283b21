package harness;

import com.yahoo.language.Language;
import com.yahoo.language.process.StemMode;
import com.yahoo.language.process.Token;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;

/** Step words: what the package's linguistics makes of texts in a language, as an index with its default stemming has them. */
final class Words {

    static void step(Inspector request, Cursor answer) throws Exception {
        var tokenizer = Package.deploy(request.field("application").asString()).linguistics().getTokenizer();
        Language language = Language.fromLanguageTag(request.field("language").asString());
        Cursor found = answer.setArray("words");
        for (String text : Texts.strings(request.field("texts"))) {
            Cursor words = found.addArray();
            for (Token token : tokenizer.tokenize(text, language, StemMode.BEST, true))
                if (token.isIndexable() && ! token.getTokenString().isEmpty()) words.addString(token.getTokenString());
        }
    }

    private Words() {}

}
