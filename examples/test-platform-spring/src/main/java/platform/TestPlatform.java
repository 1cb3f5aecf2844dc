package platform;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.context.properties.ConfigurationPropertiesScan;

/** A test platform: it takes the callbacks of launches and shows their logs. */
@SpringBootApplication
@ConfigurationPropertiesScan
public class TestPlatform {

    public static void main(String[] args) {
        SpringApplication.run(TestPlatform.class, args);
    }
}
