package platform;

import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.http.HttpStatus;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.bind.annotation.RestController;

// --8<-- [start:controller]
/** The launcher's {@code callbackUrl}: http://…/api/report/llm-start. */
@RestController
class ReportController {

    private static final Logger log = LoggerFactory.getLogger(ReportController.class);

    private final Reports reports;

    ReportController(Reports reports) {
        this.reports = reports;
    }

    @PostMapping("/api/report/llm-start")
    @ResponseStatus(HttpStatus.NO_CONTENT)
    void received(@RequestBody Report report) {
        // A callback is repeated until it is answered, so it may come twice: its eventId says so.
        if (reports.add(report)) {
            log.info("{} on {}: {} (traceId {})", report.model(), report.host(), report.event(), report.traceId());
        }
    }

    @GetMapping("/api/reports")
    List<Report> newest(@RequestParam(required = false) String traceId) {
        return reports.newest(traceId);
    }
}
// --8<-- [end:controller]
