"""Known causes: what Slurm says when it ends a job."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Text

CAUSES = (
    Cause(
        "job_out_of_memory",
        Text(
            "the job took more memory than it may: Slurm killed its processes", "作业超出内存上限：Slurm 终止了其进程"
        ),
        Text("raise --mem of the job (or --mem-per-gpu)", "提高作业的 --mem（或 --mem-per-gpu）"),
        (Line(b"slurmstepd: error: Detected", rb"slurmstepd: error: Detected \d+ oom[-_]kill event"),),
    ),
    Cause(
        "job_cancelled",
        Text("Slurm cancelled the job: {why}", "Slurm 取消了作业：{why}"),
        Text(
            "TIME LIMIT: raise --time; PREEMPTION: use a partition or QOS that is not preempted",
            "TIME LIMIT：增大 --time；PREEMPTION：使用不会被抢占的分区或 QOS",
        ),
        (
            Line(
                b" DUE TO ",
                rb"slurmstepd: error: \*\*\* (?:JOB|STEP) \S+ ON \S+ CANCELLED AT \S+ DUE TO (?P<why>[A-Z ]{3,40}) \*\*\*",
            ),
        ),
    ),
)
