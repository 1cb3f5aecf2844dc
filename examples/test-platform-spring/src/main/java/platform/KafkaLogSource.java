package platform;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.annotation.Profile;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.stereotype.Component;

/**
 * Follows traces by the topic llm-task-log: a JSON object for each line, with ids, level, time and text.
 *
 * <p>An agent that was killed may send a line again. The header {@code id} of a record is the line's identity, so the
 * second one is left out. Lines from before a page was opened are not here: the panel has them.
 */
@Component
@Profile("kafka")
class KafkaLogSource implements LogSource {

    static final String IDENTITY = "id";
    private static final Logger log = LoggerFactory.getLogger(KafkaLogSource.class);
    private static final int IDENTITIES = 100_000;

    private final ObjectMapper mapper;
    private final Map<String, Set<Consumer<JsonNode>>> consumers = new ConcurrentHashMap<>();
    private final Set<String> seen = Collections.newSetFromMap(new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Boolean> eldest) {
            return size() > IDENTITIES;
        }
    });

    KafkaLogSource(ObjectMapper mapper) {
        this.mapper = mapper;
    }

    @Override
    public Subscription follow(String traceId, Consumer<JsonNode> lines) {
        consumers.computeIfAbsent(traceId, id -> ConcurrentHashMap.newKeySet()).add(lines);
        return () -> consumers.computeIfPresent(traceId, (id, those) -> {
            those.remove(lines);
            return those.isEmpty() ? null : those;
        });
    }

    /** Each server of the platform has a group of its own, since each shows all lines to its own pages. */
    @KafkaListener(
            topics = "${platform.kafka-topic:llm-task-log}",
            groupId = "platform-#{T(java.util.UUID).randomUUID()}")
    void received(ConsumerRecord<String, String> entry) {
        Header identity = entry.headers().lastHeader(IDENTITY);
        if (identity != null && !seen.add(new String(identity.value(), StandardCharsets.UTF_8))) {
            return;
        }
        try {
            JsonNode line = mapper.readTree(entry.value());
            JsonNode lines = mapper.createArrayNode().add(line);
            consumers.getOrDefault(line.path("traceId").asText(), Set.of()).forEach(each -> each.accept(lines));
        } catch (JsonProcessingException error) {
            log.warn("{}-{} offset {} is no JSON", entry.topic(), entry.partition(), entry.offset());
        }
    }
}
