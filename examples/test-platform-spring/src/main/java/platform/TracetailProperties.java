package platform;

import java.net.URI;
import java.nio.file.Path;
import org.springframework.boot.context.properties.ConfigurationProperties;

/**
 * Where tracetail is.
 *
 * @param panel address of the panel, for this server and for browsers
 * @param secretFile the panel's {@code secret_file}, or the {@code secret} of its state directory
 */
@ConfigurationProperties("tracetail")
record TracetailProperties(URI panel, Path secretFile) {}
