package tracetail.powerjob;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Scanner;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import tech.powerjob.client.PowerJobClient;
import tech.powerjob.common.enums.ExecuteType;
import tech.powerjob.common.enums.InstanceStatus;
import tech.powerjob.common.enums.ProcessorType;
import tech.powerjob.common.enums.Protocol;
import tech.powerjob.common.enums.TimeExpressionType;
import tech.powerjob.common.enums.WorkflowInstanceStatus;
import tech.powerjob.common.enums.WorkflowNodeType;
import tech.powerjob.common.model.PEWorkflowDAG;
import tech.powerjob.common.request.http.SaveJobInfoRequest;
import tech.powerjob.common.request.http.SaveWorkflowNodeRequest;
import tech.powerjob.common.request.http.SaveWorkflowRequest;
import tech.powerjob.common.response.InstanceInfoDTO;
import tech.powerjob.common.response.WorkflowInstanceInfoDTO;
import tech.powerjob.common.serialize.JsonUtils;
import tech.powerjob.server.PowerJobServerApplication;
import tech.powerjob.worker.PowerJobWorker;
import tech.powerjob.worker.common.PowerJobWorkerConfig;
import tech.powerjob.worker.common.constants.StoreStrategy;

/** The recipes and a workflow on a PowerJob server, with a worker that has registered with it. */
class ServerIT {

    private static final String APP = "llm-test";
    private static final String PASSWORD = "app secret";
    private static final String SCRIPTS = "tech.powerjob.official.processors.impl.script.";

    private static String address;
    private static ConfigurableApplicationContext server;
    private static PowerJobWorker worker;
    private static PowerJobClient client;

    @BeforeAll
    static void start() throws Exception {
        System.setProperty("user.home", Paths.get("target/home").toAbsolutePath().toString());
        Path python = Files.createDirectories(Paths.get("target/bin")).resolve("python"); // as PythonProcessor calls it
        Files.deleteIfExists(python);
        Files.createSymbolicLink(python, Paths.get("/usr/bin/python3"));
        int port = freePort();
        address = "127.0.0.1:" + port;
        server = new SpringApplicationBuilder(PowerJobServerApplication.class)
                .run(
                        "--server.port=" + port,
                        "--spring.profiles.active=it",
                        "--oms.env=IT",
                        "--oms.transporter.active.protocols=HTTP",
                        "--oms.http.port=" + freePort(),
                        "--oms.mongodb.enable=false",
                        "--oms.instanceinfo.retention=1",
                        "--oms.container.retention.local=1",
                        "--oms.container.retention.remote=-1",
                        "--oms.instance.metadata.cache.size=100",
                        "--oms.accurate.select.server.percentage=50",
                        "--spring.datasource.core.driver-class-name=org.h2.Driver",
                        "--spring.datasource.core.jdbc-url=jdbc:h2:mem:core;MODE=MYSQL;NON_KEYWORDS=VALUE",
                        "--spring.datasource.core.username=sa",
                        "--spring.datasource.core.password=",
                        "--logging.level.root=WARN");
        http("POST", "/appInfo/save", "{\"appName\":\"" + APP + "\",\"password\":\"" + PASSWORD + "\"}");
        client = new PowerJobClient(address, APP, PASSWORD);
        PowerJobWorkerConfig config = new PowerJobWorkerConfig();
        config.setAppName(APP);
        config.setPort(freePort());
        config.setServerAddress(Collections.singletonList(address));
        config.setProtocol(Protocol.HTTP);
        config.setStoreStrategy(StoreStrategy.MEMORY);
        worker = new PowerJobWorker(config);
        worker.init();
        String itself = ":" + config.getPort();
        await("the worker is known", () -> http("GET", "/system/listWorker?appId=1", null).contains(itself));
    }

    @AfterAll
    static void stop() throws Exception {
        worker.destroy();
        server.close();
    }

    @Test
    void theShellRecipeStartsAServer() throws Exception {
        try (Installation machine = new Installation("it-shell")) {
            String script = recipe("start_llm.sh", "<<'JSON'\n", machine.start(), "\nJSON\n");
            ends(run(SCRIPTS + "ShellProcessor", script), machine);
        }
    }

    @Test
    void thePythonRecipeStartsAServer() throws Exception {
        try (Installation machine = new Installation("it-python")) {
            String params = "json.loads('''" + machine.start() + "''')";
            ends(run(SCRIPTS + "PythonProcessor", recipe("start_llm.py", "PARAMS = ", params, "\nOF_THE")), machine);
        }
    }

    @Test
    void theJavaProcessorStartsAServer() throws Exception {
        try (Installation machine = new Installation("it-java")) {
            long instance = run(TracetailProcessor.class.getName(), machine.start());
            ends(instance, machine);
            String log = "/instance/log?appId=1&index=0&instanceId=" + instance;
            await("the online log", () -> http("GET", log, null).contains("is ready after"));
        }
    }

    @Test
    void aWorkflowRunsWithOneTrace() throws Exception {
        try (Installation machine = new Installation("it-workflow")) {
            String model = "\"modelName\":\"it-workflow\"";
            String smoke = "\"smoke\":{\"prompt\":\"one two\",\"pattern\":\"one two\"}";
            String[] nodes = {
                machine.start(),
                "{\"action\":\"warmup\"," + model + "}",
                "{\"action\":\"smoke\"," + model + "," + smoke + "}",
                "{\"action\":\"notify\"," + model + ",\"callbackUrl\":\"" + machine.callbackUrl() + "\"}",
                "{\"action\":\"stop\"," + model + "}",
            };
            long run = client.runWorkflow(workflow(nodes), "{\"traceId\":\"it-1\",\"env\":\"dev\"}", 0).getData();
            await("the workflow ends", () -> workflow(run).getStatus() >= WorkflowInstanceStatus.FAILED.getV());
            WorkflowInstanceInfoDTO end = workflow(run);
            assertThat(end.getStatus()).as(end.getResult()).isEqualTo(WorkflowInstanceStatus.SUCCEED.getV());
            assertThat(JsonUtils.parseMap(end.getWfContext()))
                    .containsEntry("traceId", "it-1")
                    .containsEntry("state", "stopped")
                    .containsEntry("cause", "");
            assertThat(machine.events()).containsExactly("ready");
            assertThat(machine.processes()).isEmpty();
        }
    }

    @Test
    void stopEndsAStartAndLeavesNoProcess() throws Exception {
        try (Installation machine = new Installation("it-stop")) {
            long running = run(TracetailProcessor.class.getName(), machine.start("", "600"));
            await("the server runs", () -> machine.processes().stream().anyMatch(line -> line.contains("--load-seconds")));
            client.stopInstance(running);
            await("nothing is left", () -> machine.processes().isEmpty());
            String log = "/instance/log?appId=1&index=0&instanceId=" + running;
            await("the online log says so", () -> http("GET", log, null).contains("ended by SIGTERM: stopping launch"));
        }
    }

    /** Returns a recipe whose parameters, between two texts, are others, and whose command is the tests'. */
    private static String recipe(String name, String begin, String params, String end) throws IOException {
        String text = new String(Files.readAllBytes(Paths.get(name)), StandardCharsets.UTF_8);
        int from = text.indexOf(begin) + begin.length();
        String replaced = text.substring(0, from) + params + text.substring(text.indexOf(end, from));
        return replaced.replace("/opt/tracetail/bin/tracetail", System.getenv("TRACETAIL"));
    }

    private static void ends(long instance, Installation machine) throws Exception {
        await("the job ends", () -> info(instance).getStatus() >= InstanceStatus.FAILED.getV());
        InstanceInfoDTO end = info(instance);
        assertThat(end.getStatus()).as(end.getResult()).isEqualTo(InstanceStatus.SUCCEED.getV());
        assertThat(end.getResult())
                .contains("TRACETAIL_RESULT {")
                .contains("\"state\": \"ready\"")
                .contains("\"instanceId\": \"" + instance + "\"")
                .contains("\"modelName\": \"" + machine.modelName + "\"");
    }

    private static long run(String processor, String params) {
        return client.runJob(save(processor, params)).getData();
    }

    private static long save(String processor, String params) {
        SaveJobInfoRequest job = new SaveJobInfoRequest();
        job.setJobName(processor);
        job.setJobParams(params);
        job.setTimeExpressionType(TimeExpressionType.API);
        job.setExecuteType(ExecuteType.STANDALONE);
        job.setProcessorType(ProcessorType.BUILT_IN);
        job.setProcessorInfo(processor);
        return client.saveJob(job).getData();
    }

    /** Saves jobs as the nodes of a workflow, one after the other, and returns its id. */
    private static long workflow(String[] nodes) {
        List<SaveWorkflowNodeRequest> requests = new ArrayList<>();
        for (String params : nodes) {
            SaveWorkflowNodeRequest node = new SaveWorkflowNodeRequest();
            node.setType(WorkflowNodeType.JOB.getCode());
            node.setJobId(save(TracetailProcessor.class.getName(), params));
            node.setNodeName("node " + requests.size());
            node.setEnable(true);
            node.setSkipWhenFailed(false);
            requests.add(node);
        }
        PEWorkflowDAG dag = new PEWorkflowDAG(new ArrayList<>(), new ArrayList<>());
        client.saveWorkflowNode(requests).getData().forEach(saved -> {
            if (!dag.getNodes().isEmpty()) {
                Long before = dag.getNodes().get(dag.getNodes().size() - 1).getNodeId();
                dag.getEdges().add(new PEWorkflowDAG.Edge(before, saved.getId()));
            }
            dag.getNodes().add(new PEWorkflowDAG.Node().setNodeId(saved.getId()));
        });
        SaveWorkflowRequest workflow = new SaveWorkflowRequest();
        workflow.setWfName("start, warm up, smoke, notify, stop");
        workflow.setTimeExpressionType(TimeExpressionType.API);
        workflow.setDag(dag);
        return client.saveWorkflow(workflow).getData();
    }

    private static InstanceInfoDTO info(long instance) {
        return client.fetchInstanceInfo(instance).getData();
    }

    private static WorkflowInstanceInfoDTO workflow(long run) {
        return client.fetchWorkflowInstanceInfo(run).getData();
    }

    private static String http(String method, String path, String body) {
        try {
            HttpURLConnection connection = (HttpURLConnection) new URL("http://" + address + path).openConnection();
            connection.setRequestMethod(method);
            if (body != null) {
                connection.setDoOutput(true);
                connection.setRequestProperty("Content-Type", "application/json");
                connection.getOutputStream().write(body.getBytes(StandardCharsets.UTF_8));
            }
            try (InputStream answer = connection.getInputStream()) {
                return new Scanner(answer, "UTF-8").useDelimiter("\\A").next();
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private static int freePort() throws IOException {
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return free.getLocalPort();
        }
    }

    private static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + 120_000_000_000L;
        while (!condition.getAsBoolean()) {
            assertThat(System.nanoTime()).as(what).isLessThan(deadline);
            Thread.sleep(200);
        }
    }
}
