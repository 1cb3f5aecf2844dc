package tech.powerjob.worker.core.processor.sdk;

import tech.powerjob.worker.core.processor.ProcessResult;
import tech.powerjob.worker.core.processor.TaskContext;

/** As in powerjob-worker 5.1.1. */
public interface BasicProcessor {
    ProcessResult process(TaskContext context) throws Exception;
}
