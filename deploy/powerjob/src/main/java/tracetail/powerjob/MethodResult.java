package tracetail.powerjob;

import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import tech.powerjob.worker.core.processor.ProcessResult;
import tech.powerjob.worker.core.processor.TaskContext;
import tech.powerjob.worker.core.processor.sdk.BasicProcessor;

/**
 * The result of a method with {@code @PowerJobHandler}.
 *
 * <p>Workers before 5.1.1 take whatever such a method returns for a success, a ProcessResult that says failure too
 * (PowerJob issue 798): there a failure has to be an exception, whose toString() becomes the job's result.
 */
final class MethodResult {

    private static final boolean FAILURES_ARE_UNDERSTOOD = failuresAreUnderstood();

    private MethodResult() {}

    /** Returns the result, or throws if it is a failure and the worker would not understand it. */
    static ProcessResult of(ProcessResult result) {
        if (!result.isSuccess() && !FAILURES_ARE_UNDERSTOOD) {
            throw new FailedException(result.getMsg());
        }
        return result;
    }

    /** Has the worker call a method that fails, and returns whether it notices. */
    private static boolean failuresAreUnderstood() {
        try {
            Class<?> caller = Class.forName("tech.powerjob.worker.processor.impl.MethodBasicProcessor");
            Constructor<?> constructor = caller.getDeclaredConstructor(Object.class, Method.class);
            constructor.setAccessible(true);
            Method failing = Failing.class.getMethod("fail", TaskContext.class);
            BasicProcessor processor = (BasicProcessor) constructor.newInstance(new Failing(), failing);
            return !processor.process(null).isSuccess();
        } catch (Exception unknownWorker) {
            return true;
        }
    }

    /** A method that fails. */
    public static final class Failing {

        public ProcessResult fail(TaskContext context) {
            return new ProcessResult(false);
        }
    }

    private static final class FailedException extends RuntimeException {

        private static final long serialVersionUID = 1L;

        FailedException(String message) {
            super(message, null, false, false);
        }

        @Override
        public String toString() {
            return getMessage();
        }
    }
}
