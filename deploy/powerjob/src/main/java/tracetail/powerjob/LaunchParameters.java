package tracetail.powerjob;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import tech.powerjob.worker.core.processor.TaskContext;

/**
 * The parameters of a launch from those of a job.
 *
 * <p>The job's parameters are the base, and the instance's come on top. In a workflow the "instance's parameters" are
 * the context of the workflow (JobNodeHandler of powerjob-server-core): they are handed on as {@code context}, of
 * which tracetail takes what is a parameter.
 */
final class LaunchParameters {

    private static final ObjectMapper MAPPER =
            new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

    private LaunchParameters() {}

    /** Returns a JSON object. A text that is none is returned as it stands: tracetail says what is wrong with it. */
    static String of(TaskContext context) {
        ObjectNode job = parse(context.getJobParams());
        ObjectNode instance = parse(context.getInstanceParams());
        ObjectNode all = MAPPER.createObjectNode();
        all.put("instanceId", String.valueOf(context.getInstanceId()));
        all.put("jobId", String.valueOf(context.getJobId()));
        if (job == null) {
            return context.getJobParams();
        }
        putAll(all, job);
        if (isInWorkflow(context)) {
            all.set("context", instance == null ? MAPPER.createObjectNode() : instance);
        } else if (instance == null) {
            return context.getInstanceParams();
        } else {
            putAll(all, instance);
        }
        return all.toString();
    }

    private static boolean isInWorkflow(TaskContext context) {
        return context.getWorkflowContext() != null && context.getWorkflowContext().getWfInstanceId() != null;
    }

    /** Returns an empty object for a blank text, and null for one that is no JSON object. */
    private static ObjectNode parse(String text) {
        if (text == null || text.codePoints().allMatch(Character::isWhitespace)) {
            return MAPPER.createObjectNode();
        }
        try {
            JsonNode value = MAPPER.readTree(text);
            return value instanceof ObjectNode ? (ObjectNode) value : null;
        } catch (JsonProcessingException error) {
            return null;
        }
    }

    /** Puts the values that are given under their camelCase names, so that model_name replaces modelName. */
    private static void putAll(ObjectNode target, ObjectNode values) {
        values.fields()
                .forEachRemaining(
                        entry -> {
                            if (!entry.getValue().isNull()) {
                                target.set(camelCase(entry.getKey()), entry.getValue());
                            }
                        });
    }

    private static String camelCase(String name) {
        StringBuilder camel = new StringBuilder();
        for (String word : name.split("_")) {
            boolean first = camel.length() == 0;
            camel.append(first || word.isEmpty() ? word : Character.toUpperCase(word.charAt(0)) + word.substring(1));
        }
        return camel.toString();
    }
}
