package tracetail.powerjob;

import tech.powerjob.worker.annotation.PowerJobHandler;
import tech.powerjob.worker.core.processor.ProcessResult;
import tech.powerjob.worker.core.processor.TaskContext;

/** {@code llmPythonProcessor#pythonLauncher} in the console: the same processor, under the name of an older one. */
public class LlmPythonProcessor {

    private final TracetailProcessor processor;

    public LlmPythonProcessor(TracetailProcessor processor) {
        this.processor = processor;
    }

    @PowerJobHandler(name = "pythonLauncher")
    public ProcessResult pythonLauncher(TaskContext context) {
        return MethodResult.of(processor.process(context));
    }
}
