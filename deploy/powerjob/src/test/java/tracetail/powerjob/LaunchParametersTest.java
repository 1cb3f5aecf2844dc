package tracetail.powerjob;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;
import tech.powerjob.common.serialize.JsonUtils;
import tech.powerjob.worker.core.processor.TaskContext;
import tech.powerjob.worker.core.processor.WorkflowContext;

class LaunchParametersTest {

    static TaskContext context(String job, String instance, Long wfInstanceId) {
        TaskContext context = new TaskContext();
        context.setJobId(7L);
        context.setInstanceId(4711L);
        context.setJobParams(job);
        context.setInstanceParams(instance);
        context.setWorkflowContext(new WorkflowContext(wfInstanceId, instance));
        return context;
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "{'port':8000,'env':'dev'} | {'env':'prod'}     | {'port':8000,'env':'prod'}",
                "{'model_name':'m'}        | {'modelName':'n'}  | {'modelName':'n'}",
                "{'modelName':'m'}         | {'model_name':'n'} | {'modelName':'n'}",
                "{'port':8000}             | {'port':null}      | {'port':8000}",
                "{'instanceId':'mine'}     |                    | {'instanceId':'mine'}",
                "                          | {'port':1}         | {'port':1}",
            })
    void theParametersOfTheInstanceComeOnTopOfTheJobs(String job, String instance, String expected) throws Exception {
        String made = LaunchParameters.of(context(quoted(job), quoted(instance), null));
        String ids = "{'instanceId':'4711','jobId':'7'}";
        assertThat(JsonUtils.parseMap(made)).isEqualTo(merged(ids, expected));
    }

    @ParameterizedTest
    @NullSource
    @ValueSource(strings = {"", "  \n", "\u3000"})
    void blankParametersAreNone(String blank) {
        assertThat(LaunchParameters.of(context(blank, blank, null))).isEqualTo("{\"instanceId\":\"4711\",\"jobId\":\"7\"}");
        assertThat(LaunchParameters.of(context(blank, blank, 9L)))
                .isEqualTo("{\"instanceId\":\"4711\",\"jobId\":\"7\",\"context\":{}}");
    }

    @Test
    void aTextThatIsNoObjectIsLeftToTracetailToRefuse() {
        assertThat(LaunchParameters.of(context("[1]", "{\"port\":1}", null))).isEqualTo("[1]");
        assertThat(LaunchParameters.of(context("{\"port\":1} x", null, 9L))).isEqualTo("{\"port\":1} x");
        assertThat(LaunchParameters.of(context("{\"port\":1}", "hello", null))).isEqualTo("hello");
    }

    @Test
    void theContextOfAWorkflowIsHandedOnAsSuch() throws Exception {
        String made = LaunchParameters.of(context(quoted("{'port':1}"), quoted("{'traceId':'t','x':'y'}"), 9L));
        assertThat(made).endsWith(quoted("'port':1,'context':{'traceId':'t','x':'y'}}"));
        assertThat(LaunchParameters.of(context("{}", "no JSON", 9L))).endsWith("\"context\":{}}");
    }

    private static java.util.Map<String, Object> merged(String... objects) {
        java.util.Map<String, Object> all = new java.util.HashMap<>();
        for (String object : objects) {
            all.putAll(JsonUtils.parseMap(object));
        }
        return all;
    }

    private static String quoted(String text) {
        return text == null ? null : text.replace('\'', '"');
    }
}
