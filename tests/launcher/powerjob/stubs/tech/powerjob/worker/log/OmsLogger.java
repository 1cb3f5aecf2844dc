package tech.powerjob.worker.log;

/** As in powerjob-worker 5.1.1, as far as the processor uses it. */
public interface OmsLogger {
    void info(String messagePattern, Object... args);
}
