package platform;

import com.fasterxml.jackson.databind.JsonNode;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;

// --8<-- [start:controller]
/** A run's log by its instanceId, and lines that a processor posts by itself; both are the panel's. */
@RestController
class LogController {

    private final PanelClient panel;

    LogController(PanelClient panel) {
        this.panel = panel;
    }

    /** {"lines": […], "nextLine": 120, "state": "ready", "finished": false}: ask again from nextLine. */
    @GetMapping("/llm/logs")
    ResponseEntity<JsonNode> lines(@RequestParam String instanceId, @RequestParam(defaultValue = "0") long fromLine) {
        return panel.get("/llm/logs?instanceId={id}&fromLine={line}", instanceId, fromLine);
    }

    /** {"instanceId": 1008611, "timestamp": 1731355200000, "lines": ["…"]}. */
    @PostMapping("/api/log/append")
    ResponseEntity<JsonNode> append(@RequestBody JsonNode lines) {
        return panel.post("/api/log/append", lines);
    }
}
// --8<-- [end:controller]
