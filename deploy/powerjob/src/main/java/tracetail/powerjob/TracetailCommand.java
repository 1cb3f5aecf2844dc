package tracetail.powerjob;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import tech.powerjob.worker.log.OmsLogger;

/**
 * One run of {@code tracetail apply}.
 *
 * <p>A thread of its own reads the output: a thread that waits in a read cannot be interrupted, and PowerJob's Stop and
 * time limit are an interrupt. The command then gets SIGTERM, on which it stops the launch that it was starting.
 */
final class TracetailCommand {

    /** Longer than a stop takes: stopTimeoutSec, 30 s, and what the keeper may need beyond. */
    private static final long STOP_SECONDS = 60;
    /** How long the rest of the output may take once the command has ended. */
    private static final long REST_MILLIS = 5000;

    private final String command;
    private final OmsLogger log;

    TracetailCommand(String command, OmsLogger log) {
        this.command = command;
        this.log = log;
    }

    /** Runs the command with these parameters. Throws IOException if it cannot be started. */
    Result apply(String params) throws IOException {
        Process process =
                new ProcessBuilder(command, "apply", "--params", "-").redirectErrorStream(true).start();
        Output output = new Output(process.getInputStream(), log);
        output.start();
        write(process, params);
        String status;
        boolean succeeded = false;
        try {
            succeeded = process.waitFor() == 0;
            output.join(REST_MILLIS);
            status = "tracetail ended with status " + process.exitValue();
        } catch (InterruptedException interrupted) {
            // Not restored: the worker has its own flags, and reports the result with this thread.
            status = stop(process, output);
        }
        return new Result(succeeded, status, output.result);
    }

    private static void write(Process process, String params) {
        try (OutputStream stdin = process.getOutputStream()) {
            stdin.write(params.getBytes(StandardCharsets.UTF_8));
        } catch (IOException error) {
            // It has ended before it read them: its status and output say why.
        }
    }

    /** Ends the command, and waits until it has stopped what it was starting. */
    private String stop(Process process, Output output) {
        log.warn("interrupted by PowerJob (stop, or time limit): ending tracetail");
        terminate(process);
        try {
            if (process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
                output.join(REST_MILLIS);
                return "interrupted by PowerJob: tracetail ended with status " + process.exitValue();
            }
        } catch (InterruptedException again) {
            return "interrupted by PowerJob twice: tracetail has SIGTERM, and is still stopping";
        }
        return "interrupted by PowerJob: tracetail has not ended within " + STOP_SECONDS + " s of SIGTERM";
    }

    /** Sends SIGTERM. Process.destroy() would also close the pipe of the result; Java 8 has nothing else. */
    private static void terminate(Process process) {
        try {
            Object handle = Process.class.getMethod("toHandle").invoke(process);
            Class.forName("java.lang.ProcessHandle").getMethod("destroy").invoke(handle);
        } catch (ReflectiveOperationException java8) {
            process.destroy();
        }
    }

    /** Hands each line of the output to the online log, and keeps the one with the result. */
    private static final class Output extends Thread {

        private final InputStream stream;
        private final OmsLogger log;
        private volatile String result = "";

        Output(InputStream stream, OmsLogger log) {
            super("tracetail-output");
            this.stream = stream;
            this.log = log;
            setDaemon(true);
        }

        @Override
        public void run() {
            try (BufferedReader lines = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8))) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    if (line.startsWith(Result.MARK)) {
                        result = line;
                    }
                    log.info("{}", line);
                }
            } catch (IOException closed) {
                // By Process.destroy(): the rest of the output is lost.
            }
        }
    }

    /** What the command has reported. */
    static final class Result {

        static final String MARK = "TRACETAIL_RESULT ";
        private static final ObjectMapper MAPPER = new ObjectMapper();
        /** A worker drops what its nodes add to a context if it is more than 8192 characters. */
        private static final int VALUE_MAX = 1000;

        private final boolean succeeded;
        private final String status;
        private final String line;

        Result(boolean succeeded, String status, String line) {
            this.succeeded = succeeded;
            this.status = status;
            this.line = line;
        }

        boolean succeeded() {
            return succeeded;
        }

        /** Returns the line with the result, or how the command ended if it has printed none. */
        String message() {
            return line.isEmpty() ? status : line;
        }

        /** Returns what the next nodes of a workflow get. `cause` is always there: it replaces that of an earlier node. */
        Map<String, String> values() {
            JsonNode found = MAPPER.createObjectNode();
            try {
                found = line.isEmpty() ? found : MAPPER.readTree(line.substring(MARK.length()));
            } catch (JsonProcessingException error) {
                // A line of the server's that looks like a result: there is none.
            }
            Map<String, String> values = new LinkedHashMap<>();
            for (String name : new String[] {"traceId", "launchId", "url", "state"}) {
                if (found.hasNonNull(name)) {
                    values.put(name, shorten(found.get(name).asText()));
                }
            }
            values.put("cause", shorten(line.isEmpty() && !succeeded ? status : found.path("cause").asText("")));
            return values;
        }

        private static String shorten(String text) {
            return text.length() <= VALUE_MAX ? text : text.substring(0, VALUE_MAX);
        }
    }
}
