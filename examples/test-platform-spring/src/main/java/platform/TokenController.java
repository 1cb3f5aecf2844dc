package platform;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

// --8<-- [start:controller]
@RestController
class TokenController {

    private final PanelTokens tokens;
    private final TracetailProperties tracetail;

    TokenController(PanelTokens tokens, TracetailProperties tracetail) {
        this.tokens = tokens;
        this.tracetail = tracetail;
    }

    /** Returns what the page needs for {@code <tracetail-panel>}: a token for one trace, and the panel's address. */
    @GetMapping("/api/token")
    Map<String, String> token(@RequestParam String traceId) {
        // Check here that the user who asks may see this test run.
        String token = tokens.sign(List.of(traceId), "read download", Duration.ofMinutes(15));
        return Map.of("token", token, "panel", tracetail.panel().toString());
    }
}
// --8<-- [end:controller]
