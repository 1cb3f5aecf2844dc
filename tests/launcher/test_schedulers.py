"""Ids of a run that nobody gave: from the environment, or from the scheduler that runs the command."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.waiting import kill

from tracetail.contract.identity import check_id
from tracetail.launcher.schedulers import (
    END_OF_JOB_MARKS,
    SCHEDULERS,
    Caller,
    RunIds,
    environment_ids,
    scheduler_ids,
)

ROOT = Path(__file__).parents[2]
POWERJOB = ("bash /root/powerjob/worker/x/script/shell_1008611.sh", 1.0)
XXL_JOB = ("bash /data/applogs/xxl-job/jobhandler/gluesource/12_1700000000000.sh {} 0 1", 86400.0 * 365)
GITHUB = {"GITHUB_RUN_ID": "1658821493", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_JOB": "llm"}
GITLAB = {"CI_PIPELINE_ID": "42", "CI_JOB_ID": "977"}
JENKINS = {"BUILD_TAG": "jenkins-team-llm test-31", "JOB_NAME": "team/llm test"}
AIRFLOW = {  # printed by a task of Airflow 2.10.5
    "AIRFLOW_CTX_DAG_OWNER": "airflow",
    "AIRFLOW_CTX_DAG_ID": "llm",
    "AIRFLOW_CTX_TASK_ID": "start",
    "AIRFLOW_CTX_EXECUTION_DATE": "2026-11-28T19:15:27+00:00",
    "AIRFLOW_CTX_TRY_NUMBER": "1",
    "AIRFLOW_CTX_DAG_RUN_ID": "manual__2026-11-28T19:15:27+00:00",
}
AIRFLOW_TRACE = "airflow-llm-manual__2026-11-28T19:15:27-00:00"
SBATCH = {"SLURM_JOB_ID": "10", "SLURM_JOB_NAME": "model a", "SLURM_ARRAY_JOB_ID": "10"}  # of Slurm 22.05.8
SRUN = {"SLURM_JOB_ID": "9", "SLURM_JOB_NAME": "env", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(
    ("name", "environ", "ancestors", "found"),
    [
        ("PowerJob", {}, [("sh", 2.0), POWERJOB], RunIds("", "1008611")),
        ("GitHub Actions", GITHUB, [], RunIds("github-1658821493-2", "github-1658821493-2-llm", "llm")),
        ("GitLab CI", GITLAB, [], RunIds("gitlab-42", "gitlab-42-977", "977")),
        ("Jenkins", JENKINS, [], RunIds(*["jenkins-team-llm-test-31"] * 2, "team/llm test")),
        ("PowerJob", GITHUB, [POWERJOB], RunIds("", "1008611")),
        ("Airflow", AIRFLOW, [], RunIds(AIRFLOW_TRACE, f"{AIRFLOW_TRACE}-start-1", "llm")),
        ("Slurm", SBATCH, [], RunIds("slurm-10", "slurm-10", "10")),
        ("Slurm", SRUN, [], RunIds("slurm-9", "slurm-9.0", "9")),
        ("GitLab CI", SBATCH | GITLAB, [], RunIds("gitlab-42", "gitlab-42-977", "977")),
    ],
)
def test_a_run_has_the_ids_of_its_scheduler(name, environ, ancestors, found):
    assert scheduler_ids(Caller(environ, ancestors)) == found
    assert any(SCHEDULERS[name](Caller(environ, ancestors)))


def test_a_run_of_xxl_job_is_named_by_job_and_time():
    found = scheduler_ids(Caller({}, [XXL_JOB]))
    assert re.fullmatch(r"xxl-job-12-197[01]\d{4}T\d{6}", found.trace_id)
    assert found == RunIds(found.trace_id, found.trace_id, "12")


def test_a_name_that_is_too_long_for_an_id_keeps_its_number():
    tag = "jenkins-" + "模型/" * 60 + "x" * 130 + "-31"
    found = scheduler_ids(Caller({"BUILD_TAG": tag}, []))
    assert check_id("traceId", found.trace_id).endswith("x-31")


@pytest.mark.parametrize(
    ("environ", "found", "warnings"),
    [
        ({"TRACE_ID": "t", "INSTANCE_ID": "i"}, RunIds("t", "i"), 0),
        ({"TRACEPARENT": f"00-{'ab' * 16}-{'cd' * 8}-01"}, RunIds("ab" * 16), 0),
        ({"TRACE_ID": "t", "TRACEPARENT": f"00-{'ab' * 16}-{'cd' * 8}-01"}, RunIds("t"), 0),
        ({"TRACEPARENT": f"00-{'0' * 32}-{'cd' * 8}-01"}, RunIds(), 1),
        ({"TRACE_ID": "not an id", "INSTANCE_ID": "i"}, RunIds("", "i"), 1),
        ({}, RunIds(), 0),
    ],
)
def test_ids_of_the_environment(environ, found, warnings):
    ids, said = environment_ids(environ)
    assert ids == found
    assert len(said) == warnings
    assert all("is ignored" in warning for warning in said)


def test_precedence_parameters_then_environment_then_scheduler(world):
    environ = {"TRACE_ID": "from-environment", **GITLAB}
    with_trace = world.params([["text", "ready now\n"], ["stay"]], traceId="given")
    given = world.run("start", "--params", with_trace, environ=environ)
    assert (given.result["traceId"], given.result["instanceId"]) == ("given", "gitlab-42-977")
    again = world.run("start", "--params", world.params([["text", "ready now\n"], ["stay"]]), environ=GITLAB)
    assert again.result.get("reused")
    assert again.result["traceId"] == "given"  # a scheduler's id is no reason to restart a server
    other = world.run("start", "--params", world.params([["text", "ready now\n"], ["stay"]]), environ=environ)
    assert not other.result.get("reused")
    assert other.result["traceId"] == "from-environment"


def test_the_command_line_of_a_script_of_xxl_job_is_found(world, tmp_path):
    script = tmp_path / "gluesource" / "12_1700000000000.sh"
    script.parent.mkdir()
    params = world.params([["text", "ready now\n"], ["stay"]])
    (tmp_path / "params.json").write_text(params)
    script.write_text(f"{sys.executable} -m tracetail start --params @{tmp_path}/params.json; true\n")
    done = subprocess.run(["bash", str(script), "{}", "0", "1"], env=world.environ, capture_output=True, check=True)
    assert b'"jobId": "12"' in done.stdout
    assert b'"traceId": "xxl-job-12-' in done.stdout


def test_a_launch_outlives_a_job_that_has_given_it_a_keeper(world):
    # ProcessTree of Jenkins ends each process whose environment has the cookie of the build by SIGTERM, which asks a
    # keeper for a stop.
    launch = world.launch(world.start([["text", "ready now\n"], ["stay"]]).result)
    kill(launch.read()["keeper"])
    assert world.run("status", "--model-name", "m", environ=dict.fromkeys(END_OF_JOB_MARKS, "build-2")).status == 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if b"=build-2\0" in (process / "environ").read_bytes():
                os.kill(int(process.name), signal.SIGTERM)
    assert world.run("status", "--model-name", "m").result["state"] == "ready"
    assert [event.name for event in world.events(launch)] == ["started", "ready", "adopted"]


def test_a_launch_that_is_killed_with_its_keeper_has_a_hint_at_who_does_that(world):
    # slurmstepd with proctrack/cgroup kills what is left at the end of a job.
    launch = world.launch(world.start([["text", "ready now\n"], ["stay"]]).result)
    record = launch.read()
    kill(record["server"], record["keeper"])
    world.run("status", "--model-name", "m")
    ended = launch.read()["exit"]
    if ended["signal"] is None:  # nobody has the dead process any more
        assert ended["cause"] == "ended with an exit status that is not known"
        assert "a scheduler at the end of its job" in ended["hint"]
        assert "调度器在任务结束时" in ended["hintZh"]


@pytest.mark.parametrize("page", ["docs/schedulers.md", "docs/zh/schedulers.md"])
def test_the_page_has_each_scheduler(page):
    text = (ROOT / page).read_text("utf-8")
    table = text[text.index("TRACEPARENT") :]
    assert all(f"| {name} |" in table for name in SCHEDULERS)
