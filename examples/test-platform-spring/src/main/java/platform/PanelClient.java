package platform;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.List;
import org.springframework.http.HttpMethod;
import org.springframework.http.ResponseEntity;
import org.springframework.stereotype.Component;
import org.springframework.web.client.RestClient;

/** The panel's API, for this server. */
@Component
class PanelClient {

    private final RestClient client;
    private final PanelTokens tokens;

    PanelClient(RestClient.Builder builder, TracetailProperties tracetail, PanelTokens tokens) {
        this.client = builder.baseUrl(tracetail.panel().toString()).build();
        this.tokens = tokens;
    }

    ResponseEntity<JsonNode> get(String path, Object... variables) {
        return answer(client.get().uri(path, variables));
    }

    ResponseEntity<JsonNode> post(String path, JsonNode body) {
        return answer(client.method(HttpMethod.POST).uri(path).body(body));
    }

    /** Returns status and body as they are, refusals too. */
    private ResponseEntity<JsonNode> answer(RestClient.RequestHeadersSpec<?> request) {
        String token = tokens.sign(List.of("*"), "read write", Duration.ofMinutes(1));
        return request.header("Authorization", "Bearer " + token)
                .exchange((sent, answer) ->
                        ResponseEntity.status(answer.getStatusCode()).body(answer.bodyTo(JsonNode.class)));
    }
}
