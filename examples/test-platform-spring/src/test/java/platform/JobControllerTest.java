package platform;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.springframework.beans.factory.annotation.Autowired;
import org.springframework.boot.test.context.SpringBootTest;
import org.springframework.boot.test.context.SpringBootTest.WebEnvironment;
import org.springframework.boot.test.web.client.TestRestTemplate;
import org.springframework.test.context.ActiveProfiles;
import org.springframework.test.context.DynamicPropertyRegistry;
import org.springframework.test.context.DynamicPropertySource;

/** PowerJob's own client, with the answers of a real PowerJob 5.1.1 (tests/data/powerjob). */
@SpringBootTest(webEnvironment = WebEnvironment.RANDOM_PORT, properties = "platform.powerjob.password=app secret")
@ActiveProfiles("powerjob")
class JobControllerTest {

    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static HttpServer powerJob;
    private static JsonNode exchanges;
    private static volatile String asked = "";

    @Autowired
    private TestRestTemplate http;

    @BeforeAll
    static void start() throws IOException {
        exchanges = MAPPER.readTree(Path.of("../../tests/data/powerjob/exchanges.json").toFile());
        powerJob = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        powerJob.createContext("/openApi/authApp", exchange -> {
            JsonNode recorded = recorded("authApp");
            boolean same = MAPPER.readTree(exchange.getRequestBody()).equals(recorded.at("/request/body"));
            answer(exchange, (same ? recorded : recorded("authApp: wrong password")).at("/response/body"));
        });
        powerJob.createContext("/openApi/runJob", exchange -> {
            String form = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
            asked = URLDecoder.decode(form, StandardCharsets.UTF_8);
            boolean passed = "ACCESS_TOKEN".equals(exchange.getRequestHeaders().getFirst("X-POWERJOB-ACCESS-TOKEN"));
            exchange.getResponseHeaders().add("X-POWERJOB-AUTH-PASSED", String.valueOf(passed));
            answer(exchange, recorded(passed ? "runJob" : "info: with a bad token").at("/response/body"));
        });
        powerJob.start();
    }

    @AfterAll
    static void stop() {
        powerJob.stop(0);
    }

    @DynamicPropertySource
    static void address(DynamicPropertyRegistry registry) {
        registry.add("platform.powerjob.address", () -> "127.0.0.1:" + powerJob.getAddress().getPort());
    }

    @Test
    void aRunAnswersTheIdsByWhichItsLogIsFound() {
        JsonNode ids = http.postForObject("/api/jobs/17/run", Map.of("port", 8001), JsonNode.class);
        assertThat(ids.get("instanceId").asText()).isEqualTo("1001");
        String traceId = ids.get("traceId").asText();
        assertThat(traceId).matches("[0-9a-f]{32}");
        assertThat(asked).contains("jobId=17").contains("\"port\":8001").contains("\"traceId\":\"" + traceId + "\"");
    }

    private static JsonNode recorded(String name) {
        for (JsonNode exchange : exchanges) {
            if (exchange.get("name").asText().equals(name)) {
                return exchange;
            }
        }
        throw new AssertionError("not recorded: " + name);
    }

    private static void answer(HttpExchange exchange, JsonNode body) throws IOException {
        byte[] content = MAPPER.writeValueAsBytes(body);
        exchange.getResponseHeaders().add("Content-Type", "application/json");
        exchange.sendResponseHeaders(200, content.length);
        exchange.getResponseBody().write(content);
        exchange.close();
    }
}
