package tracetail.powerjob;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Arrays;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import tech.powerjob.common.enums.InstanceStatus;
import tech.powerjob.common.request.TaskTrackerReportInstanceStatusReq;
import tech.powerjob.common.serialize.JsonUtils;
import tech.powerjob.worker.core.tracker.task.light.LightTaskTracker;
import tech.powerjob.worker.processor.impl.BuiltInDefaultProcessorFactory;

/** PowerJob's own worker classes run the processor, which starts real servers. */
class WorkerTest {

    private static final String PROCESSOR = TracetailProcessor.class.getName();

    private final TestWorker worker = new TestWorker(new BuiltInDefaultProcessorFactory());

    @AfterEach
    void close() {
        worker.close();
    }

    @Test
    void aWorkflowRunsWithOneTraceAndHandsItsResultsOn() throws Exception {
        try (Installation machine = new Installation("workflow")) {
            String callback = ",\"callbackUrl\":\"" + machine.callbackUrl() + "\"";
            String smoke = ",\"smoke\":{\"prompt\":\"one two\",\"pattern\":\"one two\"}";
            String[] nodes = {
                machine.start(callback),
                node("warmup", machine, ""),
                node("smoke", machine, smoke),
                node("notify", machine, ""),
                node("stop", machine, ""),
            };
            String context = "{\"traceId\":\"t-1\",\"env\":\"dev\",\"team\":{\"name\":\"of another node\"}}";
            long instance = 100;
            for (String params : nodes) {
                worker.dispatch(PROCESSOR, ++instance, params, context, 9L);
                TaskTrackerReportInstanceStatusReq end = worker.end();
                System.out.println("node " + (instance - 100) + " with " + context);
                assertThat(end.getInstanceStatus()).as(end.getResult()).isEqualTo(InstanceStatus.SUCCEED.getV());
                assertThat(result(end)).containsEntry("traceId", "t-1").containsEntry("env", "dev");
                context = TestWorker.addTo(context, end.getAppendedWfContext());
            }
            assertThat(JsonUtils.parseMap(context))
                    .containsEntry("url", "http://127.0.0.1:" + machine.port)
                    .containsEntry("state", "stopped")
                    .containsEntry("cause", "")
                    .containsEntry("team", "{\"name\":\"of another node\"}");
            await("the callbacks", () -> machine.events().equals(Arrays.asList("ready", "ready", "stopped")));
            await("nothing is left", () -> machine.processes().isEmpty());
        }
    }

    @Test
    void aNodeThatFailsAddsItsCause() throws Exception {
        String context = "{\"initParams\":\"{\\\"traceId\\\":\\\"t-2\\\"}\"}";
        worker.dispatch(PROCESSOR, 201, "{\"modelName\":\"fails\",\"command\":[\"sh\",\"-c\",\"exit 3\"]}", context, 9L);
        TaskTrackerReportInstanceStatusReq end = worker.end();
        assertThat(end.getInstanceStatus()).isEqualTo(InstanceStatus.FAILED.getV());
        assertThat(end.getAppendedWfContext()).containsEntry("traceId", "t-2").containsEntry("state", "failed");
        assertThat(end.getAppendedWfContext().get("cause")).contains("exited with status 3 before it was ready");
    }

    @Test
    void stopEndsAStartAtOnceAndLeavesNoProcess() throws Exception {
        try (Installation machine = new Installation("stopped-start")) {
            LightTaskTracker task = worker.dispatch(PROCESSOR, 301, machine.start("", "600"), "", null);
            await("the server runs", () -> machine.processes().stream().anyMatch(line -> line.contains("--load-seconds")));
            await("progress is in the online log", () -> worker.onlineLog().contains("log "));
            long begun = System.nanoTime();
            task.stopTask();
            await("nothing is left", () -> machine.processes().isEmpty());
            double seconds = (System.nanoTime() - begun) / 1e9;
            await("the end is in the online log", () -> worker.onlineLog().contains("TRACETAIL_RESULT"));
            System.out.printf("stop: %.2f s, processes left: %d%n", seconds, machine.processes().size());
            assertThat(seconds).isLessThan(10);
            assertThat(worker.onlineLog()).contains("ended by SIGTERM: launch ").contains("was stopped");
        }
    }

    @Test
    void parametersOfARunComeOnTopAndProgressIsInTheOnlineLog() throws Exception {
        try (Installation machine = new Installation("once")) {
            worker.dispatch(PROCESSOR, 401, machine.start(), "{\"trace_id\":\"t-4\"}", null);
            TaskTrackerReportInstanceStatusReq end = worker.end();
            assertThat(result(end))
                    .containsEntry("traceId", "t-4")
                    .containsEntry("instanceId", "401")
                    .containsEntry("jobId", "7")
                    .containsEntry("state", "ready");
            assertThat(end.getAppendedWfContext()).isNull();
            await("progress", () -> worker.onlineLog().contains("TRACETAIL_RESULT"));
            assertThat(worker.onlineLog()).contains("traceId t-4").contains("is ready after");
            worker.dispatch(PROCESSOR, 402, node("status", machine, ""), null, null);
            assertThat(worker.end().getInstanceStatus()).isEqualTo(InstanceStatus.SUCCEED.getV());
        }
    }

    @Test
    void withoutParametersTheResultSaysWhatIsMissing() throws Exception {
        worker.dispatch(PROCESSOR, 501, null, null, null);
        assertThat(worker.end().getResult()).contains("modelName is missing");
        worker.dispatch(PROCESSOR, 502, " ", "", null);
        assertThat(worker.end().getResult()).contains("modelName is missing");
        worker.dispatch(PROCESSOR, 503, "{", "", null);
        assertThat(worker.end().getResult()).contains("the parameters are not valid JSON");
    }

    @Test
    void aCommandThatIsNotThereIsNamed() throws Exception {
        String message = new TracetailProcessor("/nowhere/tracetail").process(LaunchParametersTest.context("{}", "", null)).getMsg();
        assertThat(message).contains("/nowhere/tracetail").contains("TRACETAIL in the worker's environment");
    }

    private static String node(String action, Installation machine, String more) {
        return String.format("{\"action\":\"%s\",\"modelName\":\"%s\"%s}", action, machine.modelName, more);
    }

    private static Map<String, Object> result(TaskTrackerReportInstanceStatusReq end) {
        assertThat(end.getResult()).startsWith("TRACETAIL_RESULT ");
        return JsonUtils.parseMap(end.getResult().substring("TRACETAIL_RESULT ".length()));
    }

    private static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + 60_000_000_000L;
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as(what).isLessThan(deadline);
            Thread.sleep(20);
        }
    }
}
