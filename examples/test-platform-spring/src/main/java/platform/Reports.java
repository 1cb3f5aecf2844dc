package platform;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.springframework.stereotype.Component;

/** The latest callbacks, in memory: a platform has a table with a unique column eventId in its place. */
@Component
class Reports {

    private static final int KEPT = 1000;

    private final Map<String, Report> byEventId = new LinkedHashMap<>();

    /** Adds a report; returns false if it was there already. */
    synchronized boolean add(Report report) {
        String eventId = report.eventId() == null ? UUID.randomUUID().toString() : report.eventId();
        boolean added = byEventId.putIfAbsent(eventId, report) == null;
        if (byEventId.size() > KEPT) {
            byEventId.remove(byEventId.keySet().iterator().next());
        }
        return added;
    }

    /** Returns the reports of one trace, or of all, newest first. */
    synchronized List<Report> newest(String traceId) {
        List<Report> found = new ArrayList<>(byEventId.values());
        found.removeIf(report -> traceId != null && !traceId.equals(report.traceId()));
        Collections.reverse(found);
        return found;
    }
}
