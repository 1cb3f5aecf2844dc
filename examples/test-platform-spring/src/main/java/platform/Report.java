package platform;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;

/** A callback about a launch. A script of another kind may send model, port, pid and log_file alone. */
// --8<-- [start:report]
record Report(
        String eventId,
        String event,
        String traceId,
        String instanceId,
        String launchId,
        String model,
        Integer port,
        Long pid,
        @JsonProperty("log_file") String logFile,
        String host,
        String state,
        JsonNode phases,
        JsonNode exit,
        List<String> tail) {}
// --8<-- [end:report]
