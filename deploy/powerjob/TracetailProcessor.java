import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import tech.powerjob.worker.core.processor.ProcessResult;
import tech.powerjob.worker.core.processor.TaskContext;
import tech.powerjob.worker.core.processor.sdk.BasicProcessor;
import tech.powerjob.worker.log.OmsLogger;

/**
 * Runs `tracetail apply` with the JSON of the job's parameters.
 *
 * <p>The instance's parameters win over the job's. What tracetail prints goes to the online log line by line; its
 * last line, TRACETAIL_RESULT, is the result of the job. Put it into the worker's package and name it in the console
 * as the processor; TRACETAIL in the worker's environment is the path of the command.
 */
public class TracetailProcessor implements BasicProcessor {

    private static final String RESULT = "TRACETAIL_RESULT ";
    private static final String DEFAULT_COMMAND = "/opt/tracetail/bin/tracetail";

    @Override
    public ProcessResult process(TaskContext context) throws Exception {
        OmsLogger log = context.getOmsLogger();
        String params = context.getInstanceParams();
        if (params == null || params.isBlank()) {
            params = context.getJobParams();
        }
        String command = System.getenv().getOrDefault("TRACETAIL", DEFAULT_COMMAND);
        ProcessBuilder builder =
                new ProcessBuilder(
                        command,
                        "apply",
                        "--params",
                        "-",
                        "--instance-id",
                        String.valueOf(context.getInstanceId()),
                        "--job-id",
                        String.valueOf(context.getJobId()));
        builder.redirectErrorStream(true);
        Process process = builder.start();
        try (OutputStream stdin = process.getOutputStream()) {
            stdin.write(params.getBytes(StandardCharsets.UTF_8));
        }
        String result = "";
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                log.info("{}", line);
                if (line.startsWith(RESULT)) {
                    result = line;
                }
            }
        }
        try {
            int status = process.waitFor();
            return new ProcessResult(status == 0, result.isEmpty() ? "tracetail ended with status " + status : result);
        } catch (InterruptedException stopped) {
            process.destroy(); // the launch goes on: a stop job ends it
            Thread.currentThread().interrupt();
            return new ProcessResult(false, "interrupted; the launch goes on");
        }
    }
}
