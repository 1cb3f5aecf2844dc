package platform;

import java.util.List;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Lazy;
import org.springframework.context.annotation.Profile;
import tech.powerjob.client.PowerJobClient;

/** PowerJob's own client, for one app. It logs in at its first use: the platform starts without PowerJob too. */
@Configuration
@Profile("powerjob")
class PowerJobConfiguration {

    @Bean
    @Lazy
    PowerJobClient powerJobClient(
            @Value("${platform.powerjob.address}") List<String> addresses,
            @Value("${platform.powerjob.app-name}") String appName,
            @Value("${platform.powerjob.password}") String password) {
        return new PowerJobClient(addresses, appName, password);
    }
}
