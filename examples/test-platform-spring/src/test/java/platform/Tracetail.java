package platform;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** What a test machine has: {@code tracetail up} in a directory of its own, with a panel that pages may embed. */
final class Tracetail implements AutoCloseable {

    private static final String COMMAND = System.getenv("TRACETAIL");
    private static final Path SERVER = Path.of("../sample_server.py").toAbsolutePath().normalize();

    final URI panel;
    private final Path directory;
    private final Process up;

    Tracetail(String... origins) throws IOException, InterruptedException {
        this(Map.of(), origins);
    }

    /** environment: variables that configure it further. */
    Tracetail(Map<String, String> environment, String... origins) throws IOException, InterruptedException {
        directory = Files.createTempDirectory("tracetail");
        int[] ports = freePorts(3);
        panel = URI.create("http://127.0.0.1:" + ports[2]);
        String allowed = List.of(origins).stream().map(origin -> '"' + origin + '"').collect(Collectors.joining(", "));
        Files.writeString(
                directory.resolve("tracetail.toml"),
                """
                [store]
                listen = "127.0.0.1:%d"
                [agent]
                listen = "127.0.0.1:%d"
                [panel]
                listen = "127.0.0.1:%d"
                origins = [%s]
                """.formatted(ports[0], ports[1], ports[2], allowed));
        ProcessBuilder builder = command("up");
        builder.environment().putAll(environment);
        up = builder.start();
        waitUntilReady();
    }

    Path secretFile() {
        return directory.resolve("state/secret");
    }

    /** Starts the sample server, waits until it is ready, and returns what the command has printed. */
    String start(String modelName, String traceId, URI callbackUrl) throws IOException, InterruptedException {
        String params =
                """
                {"modelName": "%s", "traceId": "%s", "port": %d, "readyWhen": "http", "callbackUrl": "%s",
                 "command": ["python3", "%s", "--port", "{port}", "--model", "{modelName}", "--load-seconds", "0"]}
                """.formatted(modelName, traceId, freePorts(1)[0], callbackUrl, SERVER);
        return run("start", "--params", params);
    }

    String stop(String traceId) throws IOException, InterruptedException {
        return run("stop", "--trace-id", traceId);
    }

    private String run(String... arguments) throws IOException, InterruptedException {
        Process process = command(arguments).start();
        String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0) {
            throw new AssertionError(printed);
        }
        return printed;
    }

    private ProcessBuilder command(String... arguments) {
        List<String> words = new ArrayList<>(List.of(COMMAND, "--config", directory.resolve("tracetail.toml").toString()));
        words.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(words).redirectErrorStream(true);
        builder.environment().put("TRACETAIL_STATE_DIR", directory.resolve("state").toString());
        return builder;
    }

    private void waitUntilReady() throws IOException {
        BufferedReader lines = new BufferedReader(new InputStreamReader(up.getInputStream(), StandardCharsets.UTF_8));
        StringBuilder printed = new StringBuilder();
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            printed.append(line).append('\n');
            if (line.startsWith("Ready.")) {
                Thread rest = new Thread(() -> lines.lines().forEach(unread -> {}), "tracetail-output");
                rest.setDaemon(true);
                rest.start();
                return;
            }
        }
        throw new AssertionError("tracetail up has ended: " + printed);
    }

    /** Returns ports that nobody listens on, each a different one. */
    static int[] freePorts(int count) throws IOException {
        List<ServerSocket> sockets = new ArrayList<>();
        int[] ports = new int[count];
        try {
            for (int at = 0; at < count; at++) {
                sockets.add(new ServerSocket(0, 1, InetAddress.getLoopbackAddress()));
                ports[at] = sockets.get(at).getLocalPort();
            }
        } finally {
            for (ServerSocket socket : sockets) {
                socket.close();
            }
        }
        return ports;
    }

    @Override
    public void close() throws InterruptedException {
        up.toHandle().destroy(); // Process.destroy() would also close the pipe of its output
        up.waitFor();
    }
}
