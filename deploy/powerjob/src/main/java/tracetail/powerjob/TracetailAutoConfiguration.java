package tracetail.powerjob;

import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** The processors as beans of a Spring Boot worker that has the jar. Beans of the worker's own take precedence. */
@Configuration(proxyBeanMethods = false)
public class TracetailAutoConfiguration {

    @Bean
    @ConditionalOnMissingBean
    public TracetailProcessor tracetailProcessor() {
        return new TracetailProcessor();
    }

    @Bean
    @ConditionalOnMissingBean(name = "llmPythonProcessor")
    public LlmPythonProcessor llmPythonProcessor(TracetailProcessor processor) {
        return new LlmPythonProcessor(processor);
    }
}
