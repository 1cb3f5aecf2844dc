package platform;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.kafka.config.KafkaListenerEndpointRegistry;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.test.EmbeddedKafkaBroker;
import org.springframework.kafka.test.context.EmbeddedKafka;
import org.springframework.kafka.test.utils.ContainerTestUtils;
import org.springframework.test.context.ActiveProfiles;

/** The profile kafka with Apache Kafka itself (KRaft), in this process. */
@SpringBootTest(properties = "spring.kafka.bootstrap-servers=${spring.embedded.kafka.brokers}")
@ActiveProfiles("kafka")
@EmbeddedKafka(kraft = true, topics = "llm-task-log", partitions = 1)
class KafkaLogSourceTest {

    @Autowired
    private KafkaLogSource source;

    @Autowired
    private EmbeddedKafkaBroker broker;

    @Autowired
    private KafkaTemplate<String, String> kafka;

    @Autowired
    private KafkaListenerEndpointRegistry listeners;

    @Test
    void aTraceGetsItsLinesOnceEach() {
        listeners.getListenerContainers().forEach(each -> ContainerTestUtils.waitForAssignment(each, 1));
        List<String> received = new CopyOnWriteArrayList<>();
        try (LogSource.Subscription subscription =
                source.follow("t", lines -> lines.forEach(line -> received.add(line.get("text").asText())))) {
            send("1", "t", "one");
            send("2", "another", "not for this page");
            send("1", "t", "one");
            kafka.send("llm-task-log", "no JSON");
            send("3", "t", "two");
            send("4", "t", "two");
            await().atMost(Duration.ofSeconds(30)).until(() -> received.size() >= 3);
        }
        send("5", "t", "the page is closed");
        assertThat(received).containsExactly("one", "two", "two");
    }

    @Test
    void theAgentsLinesArriveOnceEachWithIdsLevelAndTime() throws Exception {
        listeners.getListenerContainers().forEach(each -> ContainerTestUtils.waitForAssignment(each, 1));
        List<JsonNode> received = new CopyOnWriteArrayList<>();
        Map<String, String> kafkaOutput = Map.of("TRACETAIL_KAFKA_BROKERS", broker.getBrokersAsString());
        try (Tracetail machine = new Tracetail(kafkaOutput);
                LogSource.Subscription subscription = source.follow("run-1", lines -> lines.forEach(received::add))) {
            machine.start("sample", "run-1", URI.create("http://127.0.0.1:1/nobody-listens"));
            machine.stop("run-1");
            await().atMost(Duration.ofSeconds(60))
                    .until(() -> received.stream().anyMatch(line -> text(line).startsWith("receipt ")));
        }
        JsonNode receipt = received.get(received.size() - 1);
        assertThat(text(receipt)).startsWith("receipt lines=" + (received.size() - 1) + " ");
        String launchId = receipt.get("launchId").asText();
        assertThat(received).hasSizeGreaterThan(5).allSatisfy(line -> {
            assertThat(line.get("traceId").asText()).isEqualTo("run-1");
            assertThat(line.get("instanceId").asText()).isNotEmpty();
            assertThat(line.get("launchId").asText()).isEqualTo(launchId);
            assertThat(line.get("level").asText()).isIn("debug", "info", "warning", "error", "critical");
            assertThat(line.get("time").asText()).matches("[0-9]{19}");
        });
        assertThat(received).extracting(line -> line.get("time").asText()).isSorted().doesNotHaveDuplicates();
    }

    private static String text(JsonNode line) {
        return line.get("text").asText();
    }

    private void send(String identity, String traceId, String text) {
        String value = """
                {"traceId": "%s", "launchId": "l", "level": "info", "text": "%s"}
                """.formatted(traceId, text);
        ProducerRecord<String, String> entry = new ProducerRecord<>("llm-task-log", "l", value);
        entry.headers().add(KafkaLogSource.IDENTITY, identity.getBytes(StandardCharsets.UTF_8));
        kafka.send(entry).join();
    }
}
