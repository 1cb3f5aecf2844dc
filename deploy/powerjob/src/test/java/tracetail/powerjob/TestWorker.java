package tracetail.powerjob;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import tech.powerjob.common.PowerSerializable;
import tech.powerjob.common.enums.ExecuteType;
import tech.powerjob.common.enums.ProcessorType;
import tech.powerjob.common.model.InstanceLogContent;
import tech.powerjob.common.model.WorkerAppInfo;
import tech.powerjob.common.request.ServerScheduleJobReq;
import tech.powerjob.common.request.TaskTrackerReportInstanceStatusReq;
import tech.powerjob.common.request.WorkerLogReportReq;
import tech.powerjob.common.response.AskResponse;
import tech.powerjob.common.serialize.JsonUtils;
import tech.powerjob.remote.framework.base.URL;
import tech.powerjob.remote.framework.transporter.Protocol;
import tech.powerjob.remote.framework.transporter.Transporter;
import tech.powerjob.worker.background.OmsLogHandler;
import tech.powerjob.worker.background.discovery.ServerDiscoveryService;
import tech.powerjob.worker.common.PowerJobWorkerConfig;
import tech.powerjob.worker.common.WorkerRuntime;
import tech.powerjob.worker.core.executor.ExecutorManager;
import tech.powerjob.worker.core.tracker.task.light.LightTaskTracker;
import tech.powerjob.worker.extension.processor.ProcessorFactory;
import tech.powerjob.worker.processor.PowerJobProcessorLoader;

/** PowerJob's worker without its network: the server's requests come in here, and its reports end here. */
final class TestWorker implements AutoCloseable {

    private final WorkerRuntime runtime = new WorkerRuntime();
    private final BlockingQueue<TaskTrackerReportInstanceStatusReq> ends = new LinkedBlockingQueue<>();
    private final List<String> onlineLog = Collections.synchronizedList(new ArrayList<>());

    TestWorker(ProcessorFactory factory) {
        PowerJobWorkerConfig config = new PowerJobWorkerConfig();
        Reports reports = new Reports();
        NoDiscovery server = new NoDiscovery();
        WorkerAppInfo app = new WorkerAppInfo();
        app.setAppId(1L);
        runtime.setAppInfo(app);
        runtime.setWorkerAddress("127.0.0.1:27777");
        runtime.setWorkerConfig(config);
        runtime.setTransporter(reports);
        runtime.setServerDiscoveryService(server);
        runtime.setExecutorManager(new ExecutorManager(config));
        runtime.setOmsLogHandler(new OmsLogHandler("127.0.0.1:27777", reports, server));
        runtime.setProcessorLoader(new PowerJobProcessorLoader(Collections.singletonList(factory)));
    }

    /** Has the worker run a job, as the server's request does. wfInstanceId: null outside a workflow. */
    LightTaskTracker dispatch(String processor, long instanceId, String params, String instanceParams, Long wfInstanceId) {
        ServerScheduleJobReq request = new ServerScheduleJobReq();
        request.setJobId(7L);
        request.setInstanceId(instanceId);
        request.setWfInstanceId(wfInstanceId);
        request.setExecuteType(ExecuteType.STANDALONE.name());
        request.setProcessorType(ProcessorType.BUILT_IN.name());
        request.setProcessorInfo(processor);
        request.setJobParams(params);
        request.setInstanceParams(instanceParams);
        return LightTaskTracker.create(request, runtime);
    }

    /** Returns the report of the next job that ends. */
    TaskTrackerReportInstanceStatusReq end() throws InterruptedException {
        TaskTrackerReportInstanceStatusReq found = ends.poll(60, TimeUnit.SECONDS);
        if (found == null) {
            throw new AssertionError("no job has ended within 60 s");
        }
        return found;
    }

    /** Returns what the worker has sent as the online log so far. */
    String onlineLog() {
        runtime.getOmsLogHandler().logSubmitter.run();
        synchronized (onlineLog) {
            return String.join("\n", onlineLog);
        }
    }

    @Override
    public void close() {
        runtime.getExecutorManager().getLightweightTaskExecutorService().shutdownNow();
        runtime.getExecutorManager().getLightweightTaskStatusCheckExecutor().shutdownNow();
        runtime.getExecutorManager().shutdown();
    }

    /** Adds to a workflow's context as WorkflowInstanceManager of powerjob-server-core does: all values become texts. */
    static String addTo(String context, Map<String, String> added) throws Exception {
        Map<String, String> values = new HashMap<>();
        JsonUtils.parseMap(context).forEach((name, value) -> values.put(name, JsonUtils.toJSONString(value)));
        values.putAll(added);
        return JsonUtils.toJSONString(values);
    }

    private final class Reports implements Transporter {

        @Override
        public Protocol getProtocol() {
            return () -> "test";
        }

        @Override
        public void tell(URL url, PowerSerializable request) {
            if (request instanceof WorkerLogReportReq) {
                for (InstanceLogContent line : ((WorkerLogReportReq) request).getInstanceLogContents()) {
                    onlineLog.add(line.getLogContent());
                }
            }
        }

        @Override
        public <T> CompletionStage<T> ask(URL url, PowerSerializable request, Class<T> type) {
            if (request instanceof TaskTrackerReportInstanceStatusReq) {
                ends.add((TaskTrackerReportInstanceStatusReq) request);
            }
            return CompletableFuture.completedFuture(type.cast(AskResponse.succeed(null)));
        }
    }

    private static final class NoDiscovery implements ServerDiscoveryService {

        @Override
        public WorkerAppInfo assertApp() {
            return new WorkerAppInfo();
        }

        @Override
        public String getCurrentServerAddress() {
            return "127.0.0.1:10086";
        }

        @Override
        public void timingCheck(ScheduledExecutorService timingPool) {}
    }
}
