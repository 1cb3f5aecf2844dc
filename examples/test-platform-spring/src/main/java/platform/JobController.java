package platform;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Map;
import java.util.UUID;
import org.springframework.context.annotation.Lazy;
import org.springframework.context.annotation.Profile;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.server.ResponseStatusException;
import tech.powerjob.client.PowerJobClient;
import tech.powerjob.common.response.ResultDTO;

// --8<-- [start:controller]
/** Runs a job of PowerJob whose processor is tracetail's: profile powerjob. */
@RestController
@Profile("powerjob")
class JobController {

    private final PowerJobClient client;

    JobController(@Lazy PowerJobClient client) {
        this.client = client;
    }

    /** The body is parameters of this run, on top of the job's. Returns the ids by which its log is found. */
    @PostMapping("/api/jobs/{jobId}/run")
    Map<String, String> run(@PathVariable long jobId, @RequestBody ObjectNode params) {
        if (!params.hasNonNull("traceId")) {
            params.put("traceId", UUID.randomUUID().toString().replace("-", ""));
        }
        ResultDTO<Long> instanceId = client.runJob(jobId, params.toString(), 0);
        if (!instanceId.isSuccess()) {
            throw new ResponseStatusException(HttpStatus.BAD_GATEWAY, "PowerJob: " + instanceId.getMessage());
        }
        return Map.of("instanceId", instanceId.getData().toString(), "traceId", params.get("traceId").asText());
    }
}
// --8<-- [end:controller]
