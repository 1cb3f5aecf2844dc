package platform;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.springframework.context.annotation.Configuration;
import org.springframework.web.socket.CloseStatus;
import org.springframework.web.socket.TextMessage;
import org.springframework.web.socket.WebSocketSession;
import org.springframework.web.socket.config.annotation.EnableWebSocket;
import org.springframework.web.socket.config.annotation.WebSocketConfigurer;
import org.springframework.web.socket.config.annotation.WebSocketHandlerRegistry;
import org.springframework.web.socket.handler.ConcurrentWebSocketSessionDecorator;
import org.springframework.web.socket.handler.TextWebSocketHandler;
import org.springframework.web.util.UriComponentsBuilder;

/** WebSocket /ws/logs?traceId=…: each message is a JSON array of lines, {"time", "level", "text", …}. */
@Configuration
@EnableWebSocket
class LogSocket extends TextWebSocketHandler implements WebSocketConfigurer {

    private static final int SEND_MILLIS = 10_000;
    private static final int BUFFER_BYTES = 4 << 20;

    private final LogSource source;
    private final Map<String, LogSource.Subscription> subscriptions = new ConcurrentHashMap<>();

    LogSocket(LogSource source) {
        this.source = source;
    }

    @Override
    public void registerWebSocketHandlers(WebSocketHandlerRegistry registry) {
        // Only pages of this server's own origin may connect, which is the default.
        registry.addHandler(this, "/ws/logs");
    }

    @Override
    public void afterConnectionEstablished(WebSocketSession session) throws IOException {
        String traceId =
                UriComponentsBuilder.fromUri(session.getUri()).build().getQueryParams().getFirst("traceId");
        if (traceId == null) {
            session.close(CloseStatus.BAD_DATA.withReason("traceId is missing"));
            return;
        }
        // Check here that the user of this session may see the trace. A page that does not keep up is disconnected.
        WebSocketSession page = new ConcurrentWebSocketSessionDecorator(session, SEND_MILLIS, BUFFER_BYTES);
        subscriptions.put(session.getId(), source.follow(traceId, lines -> send(page, lines)));
    }

    private static void send(WebSocketSession page, JsonNode lines) {
        try {
            page.sendMessage(new TextMessage(lines.toString()));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    @Override
    public void afterConnectionClosed(WebSocketSession session, CloseStatus status) {
        LogSource.Subscription subscription = subscriptions.remove(session.getId());
        if (subscription != null) {
            subscription.close();
        }
    }
}
