package tracetail.powerjob;

import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import tech.powerjob.common.serialize.JsonUtils;

/** What a test machine has beside its worker: tracetail itself, a server that can be started, a test platform. */
final class Installation implements AutoCloseable {

    private static final Path STATE = Paths.get(System.getenv("TRACETAIL_STATE_DIR"));
    private static final Path SERVER = Paths.get("../../examples/sample_server.py").toAbsolutePath().normalize();

    final String modelName;
    final int port;
    private final List<String> events = Collections.synchronizedList(new ArrayList<>());
    private final HttpServer platform;

    Installation(String modelName) throws IOException {
        this.modelName = modelName;
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            port = free.getLocalPort();
        }
        platform = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        platform.createContext(
                "/",
                exchange -> {
                    events.add(String.valueOf(JsonUtils.parseMap(text(exchange.getRequestBody())).get("event")));
                    exchange.sendResponseHeaders(204, -1);
                    exchange.close();
                });
        platform.start();
    }

    String callbackUrl() {
        return "http://127.0.0.1:" + platform.getAddress().getPort() + "/api/report/llm-start";
    }

    /** Returns the events that the platform has received, sorted. */
    List<String> events() {
        synchronized (events) {
            return events.stream().sorted().collect(Collectors.toList());
        }
    }

    /** Returns the parameters of a start of the sample server. more: further members of the object. */
    String start(String... more) {
        String command = String.format(
                "[\"python3\",\"%s\",\"--port\",\"{port}\",\"--model\",\"{modelName}\",\"--load-seconds\",\"%s\"]",
                SERVER, more.length > 1 ? more[1] : "0");
        return String.format(
                "{\"modelName\":\"%s\",\"port\":%d,\"command\":%s,\"readyWhen\":\"http\"%s}",
                modelName, port, command, more.length > 0 ? more[0] : "");
    }

    /** Returns the command lines of all processes that run in this state directory: launcher, keepers, servers. */
    List<String> processes() {
        try (Stream<Path> all = Files.list(Paths.get("/proc"))) {
            return all.filter(path -> path.getFileName().toString().matches("\\d+"))
                    .filter(path -> read(path.resolve("environ")).contains("TRACETAIL_STATE_DIR=" + STATE + "\0"))
                    .map(path -> read(path.resolve("cmdline")).replace('\0', ' '))
                    .filter(line -> !line.contains("surefire"))
                    .collect(Collectors.toList());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Returns the text of a process's file; "" if the process has ended or is another user's. */
    private static String read(Path path) {
        try {
            return new String(Files.readAllBytes(path), StandardCharsets.UTF_8);
        } catch (IOException gone) {
            return "";
        }
    }

    private static String text(InputStream stream) {
        return new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8)).lines().collect(Collectors.joining());
    }

    @Override
    public void close() throws IOException {
        platform.stop(0);
        Process stop = new ProcessBuilder(System.getenv("TRACETAIL"), "stop", "--model-name", modelName)
                .redirectErrorStream(true)
                .redirectOutput(STATE.resolve("stop.log").toFile())
                .start();
        try {
            stop.waitFor();
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
