package platform;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.context.SpringBootTest.WebEnvironment;
import org.springframework.boot.test.web.client.TestRestTemplate;
import org.springframework.boot.test.web.server.LocalServerPort;
import org.springframework.http.HttpStatus;
import org.springframework.http.RequestEntity;
import org.springframework.http.ResponseEntity;
import org.springframework.test.context.DynamicPropertyRegistry;
import org.springframework.test.context.DynamicPropertySource;
import org.springframework.web.socket.TextMessage;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.handler.TextWebSocketHandler;

/** The platform beside real tracetail processes: a server is started, and its callback and its log arrive. */
@SpringBootTest(webEnvironment = WebEnvironment.RANDOM_PORT)
class TestPlatformTest {

    private static final String TRACE = "platform-1";
    private static Tracetail tracetail;

    @LocalServerPort
    private int port;

    @Autowired
    private TestRestTemplate http;

    @Autowired
    private ObjectMapper mapper;

    @BeforeAll
    static void start() throws Exception {
        tracetail = new Tracetail();
    }

    @AfterAll
    static void stop() throws Exception {
        tracetail.close();
    }

    @DynamicPropertySource
    static void panel(DynamicPropertyRegistry registry) {
        registry.add("tracetail.panel", () -> tracetail.panel);
        registry.add("tracetail.secret-file", () -> tracetail.secretFile());
    }

    @Test
    void aLaunchIsReportedAndItsLogIsRead() throws Exception {
        tracetail.start("qwen-7b", TRACE, URI.create("http://127.0.0.1:" + port + "/api/report/llm-start"));
        try {
            await().atMost(Duration.ofSeconds(30)).until(() -> reports().size() > 0);
            JsonNode report = reports().get(0);
            assertThat(report.get("event").asText()).isEqualTo("ready");
            assertThat(report.get("model").asText()).isEqualTo("qwen-7b");

            String ready = "Application startup complete";
            List<String> received = new CopyOnWriteArrayList<>();
            WebSocketSession socket = connect(received);
            await().atMost(Duration.ofSeconds(30))
                    .until(() -> received.stream().anyMatch(line -> line.contains(ready)));
            socket.close();

            JsonNode answer = http.getForObject("/api/token?traceId=" + TRACE, JsonNode.class);
            assertThat(answer.get("panel").asText()).isEqualTo(tracetail.panel.toString());
            ResponseEntity<String> log = logs(answer.get("token").asText(), TRACE);
            assertThat(log.getStatusCode()).isEqualTo(HttpStatus.OK);
            assertThat(log.getBody()).contains(ready);
            ResponseEntity<String> other = logs(answer.get("token").asText(), "another-trace");
            assertThat(other.getStatusCode().is4xxClientError()).isTrue();

            String instanceId = report.get("instanceId").asText();
            JsonNode lines = http.getForObject("/llm/logs?instanceId=" + instanceId + "&fromLine=1", JsonNode.class);
            assertThat(lines.get("lines").size()).isPositive();
            assertThat(lines.get("state").asText()).isEqualTo("ready");
        } finally {
            tracetail.stop(TRACE);
        }
        await().atMost(Duration.ofSeconds(30)).until(() -> reports().size() == 2);
        assertThat(reports().get(0).get("event").asText()).isEqualTo("stopped");
    }

    @Test
    void aReportThatComesTwiceIsOne() {
        Map<String, Object> report =
                Map.of("eventId", "e-1", "event", "ready", "traceId", "twice", "model", "m", "unknown", 1);
        for (int attempt = 0; attempt < 2; attempt++) {
            ResponseEntity<Void> answer = http.postForEntity("/api/report/llm-start", report, Void.class);
            assertThat(answer.getStatusCode()).isEqualTo(HttpStatus.NO_CONTENT);
        }
        assertThat(http.getForObject("/api/reports?traceId=twice", JsonNode.class)).hasSize(1);
    }

    @Test
    void linesThatAProcessorPostsAreReadByTheirInstance() {
        Map<String, Object> lines =
                Map.of("instanceId", 1008611, "timestamp", System.currentTimeMillis(), "lines", List.of("one", "two"));
        assertThat(http.postForEntity("/api/log/append", lines, JsonNode.class).getStatusCode()).isEqualTo(HttpStatus.OK);
        await().atMost(Duration.ofSeconds(30)).untilAsserted(() -> {
            JsonNode read = http.getForObject("/llm/logs?instanceId=1008611", JsonNode.class);
            assertThat(read.path("lines")).extracting(JsonNode::asText).containsExactly("one", "two");
        });
        Map<String, Object> wrong = Map.of("instanceId", "not an id", "lines", List.of());
        assertThat(http.postForEntity("/api/log/append", wrong, JsonNode.class).getStatusCode())
                .isEqualTo(HttpStatus.BAD_REQUEST);
    }

    @Test
    void thePageLoadsNothingFromElsewhere() {
        assertThat(http.getForObject("/", String.class)).contains("app.js").doesNotContain("https://");
        String script = http.getForObject("/app.js", String.class);
        assertThat(script).contains("tracetail-panel").doesNotContain("https://");
        assertThat(http.getForEntity("/webjars/vue/dist/vue.esm-browser.prod.js", String.class).getStatusCode())
                .isEqualTo(HttpStatus.OK);
    }

    private JsonNode reports() {
        return http.getForObject("/api/reports?traceId=" + TRACE, JsonNode.class);
    }

    private ResponseEntity<String> logs(String token, String traceId) {
        URI address = tracetail.panel.resolve("/api/logs?traceId=" + traceId);
        return http.exchange(
                RequestEntity.get(address).header("Authorization", "Bearer " + token).build(), String.class);
    }

    private WebSocketSession connect(List<String> received) throws Exception {
        TextWebSocketHandler handler = new TextWebSocketHandler() {
            @Override
            protected void handleTextMessage(WebSocketSession session, TextMessage message) throws IOException {
                mapper.readTree(message.getPayload()).forEach(line -> received.add(line.get("text").asText()));
            }
        };
        String address = "ws://127.0.0.1:" + port + "/ws/logs?traceId=" + TRACE;
        return new StandardWebSocketClient().execute(handler, address).get();
    }
}
