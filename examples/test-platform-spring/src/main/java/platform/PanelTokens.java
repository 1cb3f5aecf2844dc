package platform;

import com.auth0.jwt.JWT;
import com.auth0.jwt.algorithms.Algorithm;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.springframework.stereotype.Component;

/** Signs tokens for the panel. */
@Component
// --8<-- [start:tokens]
class PanelTokens {

    private final TracetailProperties tracetail;

    PanelTokens(TracetailProperties tracetail) {
        this.tracetail = tracetail;
    }

    /** Returns a token for these traces ("*": all). scope: words of read, download, write. */
    String sign(List<String> traces, String scope, Duration lifetime) {
        return JWT.create()
                .withExpiresAt(Instant.now().plus(lifetime))
                .withClaim("traces", traces)
                .withClaim("scope", scope)
                .sign(Algorithm.HMAC256(secret()));
    }

    /** Returns the file's content without the white space around it, as the panel takes it. It may have changed. */
    private String secret() {
        try {
            return Files.readString(tracetail.secretFile()).strip();
        } catch (IOException error) {
            throw new UncheckedIOException("tracetail.secret-file cannot be read", error);
        }
    }
}
// --8<-- [end:tokens]
