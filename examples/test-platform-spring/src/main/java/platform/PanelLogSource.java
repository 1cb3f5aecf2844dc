package platform;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.context.annotation.Profile;
import org.springframework.stereotype.Component;
import org.springframework.web.util.UriComponentsBuilder;

/** Follows a trace by the panel's server-sent events, from its first line; after a break at the same line. */
@Component
@Profile("!kafka")
class PanelLogSource implements LogSource {

    private static final Logger log = LoggerFactory.getLogger(PanelLogSource.class);
    private static final Executor LATER = CompletableFuture.delayedExecutor(1, TimeUnit.SECONDS);

    private final HttpClient client = HttpClient.newHttpClient();
    private final TracetailProperties tracetail;
    private final PanelTokens tokens;
    private final ObjectMapper mapper;

    PanelLogSource(TracetailProperties tracetail, PanelTokens tokens, ObjectMapper mapper) {
        this.tracetail = tracetail;
        this.tokens = tokens;
        this.mapper = mapper;
    }

    @Override
    public Subscription follow(String traceId, Consumer<JsonNode> lines) {
        Stream stream = new Stream(traceId, lines);
        stream.open();
        return stream;
    }

    /** The events of one trace. Its lines come one after the other, in whatever thread. */
    private final class Stream implements Subscription, Flow.Subscriber<String> {

        private final URI address;
        private final String traceId;
        private final Consumer<JsonNode> consumer;
        private volatile boolean closed;
        private volatile Flow.Subscription connection;
        private volatile String lastEventId = "";
        private String event = "";
        private String id = "";
        private String data = "";

        Stream(String traceId, Consumer<JsonNode> consumer) {
            this.traceId = traceId;
            this.consumer = consumer;
            this.address = UriComponentsBuilder.fromUri(tracetail.panel())
                    .path("/api/logs/stream")
                    .queryParam("traceId", "{id}")
                    .build(traceId);
        }

        void open() {
            if (closed) {
                return;
            }
            String token = tokens.sign(List.of(traceId), "read", Duration.ofHours(1));
            HttpRequest.Builder request = HttpRequest.newBuilder(address).header("Authorization", "Bearer " + token);
            if (!lastEventId.isEmpty()) {
                request.header("Last-Event-ID", lastEventId);
            }
            client.sendAsync(request.build(), BodyHandlers.fromLineSubscriber(this)).whenComplete((answer, error) -> {
                if (!closed) {
                    log.info("the stream of {} ended: {}", traceId, error == null ? answer.statusCode() : error);
                    LATER.execute(this::open);
                }
            });
        }

        @Override
        public void close() {
            closed = true;
            Flow.Subscription current = connection;
            if (current != null) {
                current.cancel();
            }
        }

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            connection = subscription;
            event = id = data = "";
            subscription.request(Long.MAX_VALUE);
            if (closed) {
                subscription.cancel();
            }
        }

        @Override
        public void onNext(String line) {
            if (line.startsWith("event: ")) {
                event = line.substring(7);
            } else if (line.startsWith("id: ")) {
                id = line.substring(4);
            } else if (line.startsWith("data: ")) {
                data = line.substring(6);
            } else if (line.isEmpty()) {
                dispatch();
            }
        }

        private void dispatch() {
            try {
                if (event.equals("lines")) {
                    consumer.accept(mapper.readTree(data).path("lines"));
                }
                lastEventId = id.isEmpty() ? lastEventId : id;
            } catch (JsonProcessingException error) {
                log.warn("an event of the panel is no JSON: {}", error.getMessage());
            }
            event = id = data = "";
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onComplete() {}
    }
}
