"""Ids of a run that nobody gave: those of its caller's environment, or of the scheduler that runs this process.

What counts, the first one first, each of the ids by itself:

1. the parameters traceId, instanceId, jobId;
2. TRACE_ID and INSTANCE_ID, then the trace of TRACEPARENT: they count as given;
3. the scheduler (SCHEDULERS, in this order): only for a launch that is made, so that a running server is reused;
4. a new traceId; the launchId as instanceId.
"""

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tracetail.contract.identity import ID_MAX_CHARACTERS, InvalidIdError, check_id
from tracetail.contract.processes import CLOCK_TICKS, Process, read_process
from tracetail.launcher.machine import processes

TRACE_VARIABLE = "TRACE_ID"
INSTANCE_VARIABLE = "INSTANCE_ID"
PARENT_VARIABLE = "TRACEPARENT"
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
"""A W3C traceparent: version, trace, span, flags (https://www.w3.org/TR/trace-context/#traceparent-header)."""
_NOT_IN_AN_ID = re.compile(r"[^A-Za-z0-9._:-]+")
_POWERJOB_SCRIPT = re.compile(r"(?:shell|python)_(\d+)\.(?:sh|py)\b")
"""PowerJob's worker writes the script of a job into a file with the instance id in its name, and runs that."""
_XXL_JOB_SCRIPT = re.compile(r"/gluesource/(\d+)_\d+\.(?:sh|py)\b")
"""XXL-JOB's executor runs `<logpath>/gluesource/<jobId>_<glueUpdatetime>.sh` (ScriptJobHandler of xxl-job-core 3.x).

The id of the run is in neither its arguments nor its environment: the job and the time at which it began are.
"""

END_OF_JOB_MARKS = ("JENKINS_NODE_COOKIE", "JENKINS_SERVER_COOKIE", "RUNNER_TRACKING_ID")
"""Variables by whose values a CI finds what a job has left running, and ends it.

Jenkins does it by SIGTERM (ProcessTree): after a pipeline's node, after a freestyle build, and where an `sh` of a
workspace is aborted. GitHub's runner does it by SIGKILL (JobExtension).
"""


class RunIds(NamedTuple):
    """The ids of one run; "" for those that are not known."""

    trace_id: str = ""
    instance_id: str = ""
    job_id: str = ""


class Caller(NamedTuple):
    """What runs this process."""

    environ: Mapping[str, str]
    ancestors: Sequence[tuple[str, float]]
    """Command line of parent, grandparent and so on, and when each began, in seconds since the epoch."""


def _powerjob(caller: Caller) -> RunIds:
    for command, _ in caller.ancestors:
        if match := _POWERJOB_SCRIPT.search(command):
            return RunIds(instance_id=match[1])
    return RunIds()


def _xxl_job(caller: Caller) -> RunIds:
    for command, began in caller.ancestors:
        if match := _XXL_JOB_SCRIPT.search(command):
            run = f"xxl-job-{match[1]}-{time.strftime('%Y%m%dT%H%M%S', time.localtime(began))}"
            return RunIds(run, run, match[1])
    return RunIds()


def _github(caller: Caller) -> RunIds:
    run = caller.environ.get("GITHUB_RUN_ID", "")
    if not run:
        return RunIds()
    trace = f"github-{run}-{caller.environ.get('GITHUB_RUN_ATTEMPT') or 1}"
    job = caller.environ.get("GITHUB_JOB", "")
    return RunIds(trace, f"{trace}-{job}" if job else trace, job)


def _gitlab(caller: Caller) -> RunIds:
    pipeline, job = caller.environ.get("CI_PIPELINE_ID", ""), caller.environ.get("CI_JOB_ID", "")
    if not pipeline:
        return RunIds()
    return RunIds(f"gitlab-{pipeline}", f"gitlab-{pipeline}-{job}" if job else "", job)


def _jenkins(caller: Caller) -> RunIds:
    tag = caller.environ.get("BUILD_TAG", "")
    if not tag.startswith("jenkins-"):
        return RunIds()
    return RunIds(tag, tag, caller.environ.get("JOB_NAME", ""))


def _airflow(caller: Caller) -> RunIds:
    dag, run = (caller.environ.get(f"AIRFLOW_CTX_{name}", "") for name in ("DAG_ID", "DAG_RUN_ID"))
    if not run:
        return RunIds()
    trace, task = f"airflow-{dag}-{run}", caller.environ.get("AIRFLOW_CTX_TASK_ID", "")
    attempt = caller.environ.get("AIRFLOW_CTX_TRY_NUMBER") or 1  # `airflow tasks test` has none
    return RunIds(trace, f"{trace}-{task}-{attempt}" if task else trace, dag)


def _slurm(caller: Caller) -> RunIds:
    job = caller.environ.get("SLURM_JOB_ID", "")
    if not job:
        return RunIds()
    step = caller.environ.get("SLURM_STEP_ID", "")
    return RunIds(f"slurm-{job}", f"slurm-{job}.{step}" if step else f"slurm-{job}", job)


SCHEDULERS: Mapping[str, Callable[[Caller], RunIds]] = {
    "PowerJob": _powerjob,
    "XXL-JOB": _xxl_job,
    "GitHub Actions": _github,
    "GitLab CI": _gitlab,
    "Jenkins": _jenkins,
    "Airflow": _airflow,
    "Slurm": _slurm,
}
"""Those known by an ancestor come first: they are nearer than what a whole machine's environment says.

Variables: GitHub's "Default environment variables", GitLab's "Predefined CI/CD variables", Jenkins' "Using
environment variables" (BUILD_TAG is `jenkins-${JOB_NAME}-${BUILD_NUMBER}`), Airflow's "Exporting env vars" in a
task's log, Slurm's sbatch(1). sbatch hands its caller's environment on: a run of a CI comes before its Slurm job.
"""


def scheduler_ids(caller: Caller | None = None) -> RunIds:
    """Return the ids of the scheduler's run that this process belongs to; those that it has none of are ""."""
    caller = caller or this_caller()
    for find in SCHEDULERS.values():
        found = find(caller)
        if any(found):
            return RunIds(_as_id(found.trace_id), _as_id(found.instance_id), found.job_id[:200])
    return RunIds()


def environment_ids(environ: Mapping[str, str]) -> tuple[RunIds, list[str]]:
    """Return the ids that the environment gives as such, and a warning for each that cannot be used."""
    warnings: list[str] = []

    def valid(variable: str, name: str) -> str:
        value = environ.get(variable, "")
        if not value:
            return ""
        try:
            return check_id(name, value)
        except InvalidIdError as error:
            warnings.append(f"{variable} is ignored: {error}")
            return ""

    trace = valid(TRACE_VARIABLE, "traceId")
    parent = environ.get(PARENT_VARIABLE, "")
    if not trace and parent:
        match = _PARENT.fullmatch(parent)
        if match is None:
            warnings.append(f"{PARENT_VARIABLE} is ignored: {parent[:80]!r} is no W3C traceparent")
        trace = match[1] if match else ""
    return RunIds(trace, valid(INSTANCE_VARIABLE, "instanceId")), warnings


def this_caller() -> Caller:
    """Return what runs this process."""
    ancestors = []
    process = read_process(os.getpid())
    while process is not None and process.parent > 0:
        process = read_process(process.parent)
        if process is not None:
            ancestors.append((processes.command_line(process.pid), _began(process)))
    return Caller(os.environ, ancestors)


def _began(process: Process) -> float:
    """Return when a process began, in seconds since the epoch."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + process.start_time / CLOCK_TICKS


def _as_id(text: str) -> str:
    """Return a scheduler's own name of a run as an id: a job's name may hold what ids do not."""
    return _NOT_IN_AN_ID.sub("-", text)[-ID_MAX_CHARACTERS:].lstrip("._:-")
