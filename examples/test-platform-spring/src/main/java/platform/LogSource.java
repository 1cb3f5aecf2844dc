package platform;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.function.Consumer;

/** Where live lines come from: the panel, or in the profile kafka a topic. */
interface LogSource {

    /** Calls the consumer with an array of lines, {"time", "level", "text", …}, as they come, until it is closed. */
    Subscription follow(String traceId, Consumer<JsonNode> lines);

    /** Ends a subscription. */
    interface Subscription extends AutoCloseable {
        @Override
        void close();
    }
}
