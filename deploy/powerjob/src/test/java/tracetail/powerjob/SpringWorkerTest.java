package tracetail.powerjob;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import tech.powerjob.common.enums.InstanceStatus;
import tech.powerjob.common.request.TaskTrackerReportInstanceStatusReq;
import tech.powerjob.worker.processor.impl.BuildInSpringMethodProcessorFactory;
import tech.powerjob.worker.processor.impl.BuiltInSpringProcessorFactory;

/** The processors as beans, loaded by PowerJob's own factories. */
class SpringWorkerTest {

    private final ApplicationContextRunner spring =
            new ApplicationContextRunner().withConfiguration(AutoConfigurations.of(TracetailAutoConfiguration.class));

    @ParameterizedTest
    @ValueSource(strings = {"llmPythonProcessor#pythonLauncher", "tracetailProcessor#apply"})
    void aMethodOfABeanIsTheProcessor(String processor) {
        spring.run(
                context -> {
                    try (TestWorker worker = new TestWorker(new BuildInSpringMethodProcessorFactory(context))) {
                        starts(worker, processor);
                    }
                });
    }

    @Test
    void theClassIsTheProcessor() {
        spring.run(
                context -> {
                    try (TestWorker worker = new TestWorker(new BuiltInSpringProcessorFactory(context))) {
                        starts(worker, TracetailProcessor.class.getName());
                    }
                });
    }

    @Test
    void aBeanOfTheWorkersOwnTakesPrecedence() {
        spring.withBean("llmPythonProcessor", String.class, () -> "the worker's own")
                .run(context -> assertThat(context.getBean("llmPythonProcessor")).isEqualTo("the worker's own"));
    }

    private static void starts(TestWorker worker, String processor) throws Exception {
        String params = "{\"modelName\":\"spring\",\"command\":[\"sh\",\"-c\",\"exit 3\"]}";
        worker.dispatch(processor, 601, params, null, null);
        TaskTrackerReportInstanceStatusReq end = worker.end();
        assertThat(end.getInstanceStatus()).isEqualTo(InstanceStatus.FAILED.getV());
        assertThat(end.getResult()).contains("exited with status 3 before it was ready");
    }
}
