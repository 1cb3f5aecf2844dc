import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;

/**
 * Runs scripts as PowerJob's script processors do: written to a file that is named for the instance, both pipes read
 * to their end. Arguments: workspace, `shell` or `python`, the script's source, and the instance ids to run it for.
 * For each it prints the id, the exit status and the result, separated by tabs and with line ends as blanks.
 */
public class ScriptWorker {

    public static void main(String[] args) throws Exception {
        Path directory = Files.createDirectories(Path.of(args[0], "official_script_processor"));
        boolean shell = args[1].equals("shell");
        for (int at = 3; at < args.length; at++) {
            String source = Files.readString(Path.of(args[2])).replace("@INSTANCE@", args[at]);
            Path script = directory.resolve(shell ? "shell_" + args[at] + ".sh" : "python_" + args[at] + ".py");
            Files.writeString(script, source);
            Process process = new ProcessBuilder(shell ? "/bin/sh" : "python3", script.toString()).start();
            CompletableFuture<String> out = read(process.getInputStream());
            CompletableFuture<String> err = read(process.getErrorStream());
            int status = process.waitFor();
            String result = out.join() + err.join();
            System.out.println(args[at] + "\t" + status + "\t" + result.replace('\n', ' ').replace('\t', ' '));
        }
    }

    private static CompletableFuture<String> read(InputStream stream) {
        return CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
                    } catch (IOException error) {
                        return "the pipe broke: " + error;
                    }
                });
    }
}
