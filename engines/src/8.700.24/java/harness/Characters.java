package harness;

import com.yahoo.language.Language;
import com.yahoo.language.opennlp.OpenNlpLinguistics;
import com.yahoo.language.process.LinguisticsParameters;
import com.yahoo.language.process.StemMode;
import com.yahoo.language.process.Token;
import com.yahoo.language.process.Tokenizer;
import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;
import com.yahoo.text.Text;

import java.util.function.IntPredicate;

/** Step characters: the code points that Vespa takes for no text, and those that are a word, or a part of one, to it. */
final class Characters {

    static void step(Inspector request, Cursor answer) {
        ranges(answer.setArray("not text"), code -> ! Text.isTextCharacter(code));
        Tokenizer tokenizer = new OpenNlpLinguistics().getTokenizer();
        var english = new LinguisticsParameters(Language.ENGLISH, StemMode.BEST, true, true);
        ranges(answer.setArray("searched"), code -> {
            if (Character.getType(code) == Character.UNASSIGNED || Character.getType(code) == Character.SURROGATE) return false;
            for (Token token : tokenizer.tokenize(Character.toString(code), english)) if (token.isIndexable()) return true;
            return false;
        });
        ranges(answer.setArray("unassigned"), code -> Character.getType(code) == Character.UNASSIGNED);
    }

    /** First and last of each run of code points that have a property. */
    private static void ranges(Cursor array, IntPredicate has) {
        for (int code = 0; code <= Character.MAX_CODE_POINT; code++) {
            if ( ! has.test(code)) continue;
            int first = code;
            while (code < Character.MAX_CODE_POINT && has.test(code + 1)) code++;
            Cursor range = array.addArray();
            range.addLong(first);
            range.addLong(code);
        }
    }

}
