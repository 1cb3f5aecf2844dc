package tech.powerjob.worker.core.processor;

import tech.powerjob.worker.log.OmsLogger;

/** As in powerjob-worker 5.1.1, as far as the processor uses it. */
public class TaskContext {
    private final Long jobId;
    private final Long instanceId;
    private final String jobParams;
    private final String instanceParams;
    private final OmsLogger omsLogger;

    public TaskContext(Long jobId, Long instanceId, String jobParams, String instanceParams, OmsLogger omsLogger) {
        this.jobId = jobId;
        this.instanceId = instanceId;
        this.jobParams = jobParams;
        this.instanceParams = instanceParams;
        this.omsLogger = omsLogger;
    }

    public Long getJobId() {
        return jobId;
    }

    public Long getInstanceId() {
        return instanceId;
    }

    public String getJobParams() {
        return jobParams;
    }

    public String getInstanceParams() {
        return instanceParams;
    }

    public OmsLogger getOmsLogger() {
        return omsLogger;
    }
}
