import java.nio.file.Files;
import java.nio.file.Path;
import tech.powerjob.worker.core.processor.ProcessResult;
import tech.powerjob.worker.core.processor.TaskContext;

/** Calls TracetailProcessor as a worker does: arguments are the file of the job's parameters and the instance id. */
public class ProcessorMain {
    public static void main(String[] args) throws Exception {
        String params = Files.readString(Path.of(args[0]));
        TaskContext context =
                new TaskContext(
                        7L,
                        Long.valueOf(args[1]),
                        params,
                        "",
                        (pattern, values) -> System.out.println("online log: " + values[0]));
        ProcessResult result = new TracetailProcessor().process(context);
        System.out.println(result.isSuccess() + "\t" + result.getMsg());
    }
}
