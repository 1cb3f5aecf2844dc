package tracetail.powerjob;

import java.io.IOException;
import tech.powerjob.worker.annotation.PowerJobHandler;
import tech.powerjob.worker.core.processor.ProcessResult;
import tech.powerjob.worker.core.processor.TaskContext;
import tech.powerjob.worker.core.processor.WorkflowContext;
import tech.powerjob.worker.core.processor.sdk.BasicProcessor;

/**
 * Runs {@code tracetail apply} with the JSON of the job's parameters.
 *
 * <p>In the console it is {@code tracetail.powerjob.TracetailProcessor}, or in a Spring worker
 * {@code tracetailProcessor#apply}. The environment variable TRACETAIL of the worker is the path of the command. What
 * the command prints goes to the online log as it comes; its last line, TRACETAIL_RESULT, is the result of the job. In
 * a workflow the result is also added to the workflow's context, for the nodes behind.
 */
public class TracetailProcessor implements BasicProcessor {

    private static final String DEFAULT_COMMAND = "/opt/tracetail/bin/tracetail";

    private final String command;

    public TracetailProcessor() {
        this(System.getenv().getOrDefault("TRACETAIL", DEFAULT_COMMAND));
    }

    TracetailProcessor(String command) {
        this.command = command;
    }

    @Override
    public ProcessResult process(TaskContext context) {
        TracetailCommand.Result result;
        try {
            result = new TracetailCommand(command, context.getOmsLogger()).apply(LaunchParameters.of(context));
        } catch (IOException error) {
            String hint = "TRACETAIL in the worker's environment is the path of the command";
            return new ProcessResult(false, "cannot run tracetail: " + error.getMessage() + "; " + hint);
        }
        WorkflowContext workflow = context.getWorkflowContext();
        if (workflow != null) {
            result.values().forEach(workflow::appendData2WfContext);
        }
        return new ProcessResult(result.succeeded(), result.message());
    }

    /** The same as a method of a Spring bean. */
    @PowerJobHandler(name = "apply")
    public ProcessResult apply(TaskContext context) {
        return MethodResult.of(process(context));
    }
}
