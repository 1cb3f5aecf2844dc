package tech.powerjob.worker.core.processor;

/** As in powerjob-worker 5.1.1, as far as the processor uses it. */
public class ProcessResult {
    private final boolean success;
    private final String msg;

    public ProcessResult(boolean success, String msg) {
        this.success = success;
        this.msg = msg;
    }

    public boolean isSuccess() {
        return success;
    }

    public String getMsg() {
        return msg;
    }
}
