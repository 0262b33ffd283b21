package harness;

import com.yahoo.component.AbstractComponent;
import com.yahoo.component.ComponentId;
import com.yahoo.component.annotation.Inject;
import com.yahoo.language.process.Embedder;
import com.yahoo.tensor.Tensor;
import com.yahoo.tensor.TensorType;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Vespa's tokenizer or embedder of the same id, made outside the container: com.yahoo.application.Application leaves
 * references to models unresolved (StandaloneSubscriberFactory builds configs without
 * com.yahoo.vespa.config.ConfigPayloadApplier), so Vespa's own components would be given null for their files.
 */
public final class Local extends AbstractComponent implements Embedder {

    static final Map<String, Embedder> EMBEDDERS = new ConcurrentHashMap<>();
    private final Embedder embedder;

    @Inject
    public Local(ComponentId id) { embedder = EMBEDDERS.get(id.getName()); }

    @Override
    public List<Integer> embed(String text, Context context) { return embedder.embed(text, context); }

    @Override
    public Tensor embed(String text, Context context, TensorType type) { return embedder.embed(text, context, type); }

}
