"""Known causes: what Slurm says when it refuses or ends a job."""

from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

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
        "job_refused",
        Text("Slurm does not start the job, or its step: {why}", "Slurm 拒绝启动作业或作业步：{why}"),
        Text(
            "check --gres, --mem, --constraint and --partition against sinfo; a step may ask for what its job has only, and a "
            "job within a job inherits SLURM_* variables: unset them",
            "对照 sinfo 检查 --gres、--mem、--constraint 和 --partition；作业步只能申请其作业拥有的资源；在作业内提交作业会继承 "
            "SLURM_* 变量：先 unset",
        ),
        (
            Line(
                b": Batch job submission failed: ",
                rb"sbatch: error: Batch job submission failed: (?P<why>.{1,200})",
            ),
            Line(
                b": Unable to ",
                rb"(?:srun|salloc): (?:error|fatal): Unable to (?:create step for job \d+|allocate resources): (?P<why>.{1,200})",
            ),
            Line(b"Step requested GRES", rb"srun: error: (?P<why>Step requested GRES .{1,150})"),
            Line(
                b"are mutually exclusive",
                rb"(?:srun|sbatch|salloc): fatal: (?P<why>SLURM_.{1,200}mutually exclusive)",
            ),
        ),
    ),
    Cause(
        "program_failed",
        Text("a task of the job failed: {why}", "作业的某个任务失败：{why}"),
        ABOVE,
        (Line(b"srun: error: ", rb"srun: error: \S+: tasks? [\d,-]+: (?P<why>Exited with exit code \d+)"),),
        Rank.CONSEQUENCE,
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
