package harness;

import com.yahoo.slime.Cursor;
import com.yahoo.slime.Inspector;
import com.yahoo.slime.Slime;
import com.yahoo.slime.SlimeUtils;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * harness.Main REQUEST ANSWER: for each step of the request, {"NAME": {"step": STEP, ...}}, what Vespa does goes to the
 * answer under the same name. What it should do, tests/engines/test_vespa.py says.
 */
public final class Main {

    interface Step { void run(Inspector request, Cursor answer) throws Exception; }

    public static void main(String[] files) throws Exception {
        Map<String, Step> steps = Version.steps();
        Slime answer = new Slime();
        Cursor answers = answer.setObject();
        Inspector requests = SlimeUtils.jsonToSlimeOrThrow(Files.readAllBytes(Path.of(files[0]))).get();
        requests.traverse((String name, Inspector request) -> {
            Cursor found = answers.setObject(name);
            long start = System.nanoTime();
            try {
                steps.get(request.field("step").asString()).run(request, found);
            } catch (Throwable thrown) { // a NoClassDefFoundError of one step says nothing of the next
                StringWriter trace = new StringWriter();
                thrown.printStackTrace(new PrintWriter(trace));
                found.setString("error", trace.toString());
            }
            System.out.printf("%s: %.1f s%n", name, (System.nanoTime() - start) / 1e9);
        });
        Files.write(Path.of(files[1]), SlimeUtils.toJsonBytes(answer));
        System.exit(0); // Vespa leaves threads behind
    }

    private Main() {}

}
