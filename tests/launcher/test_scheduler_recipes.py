"""The recipes of docs/schedulers.md do what they say: their commands run as the schedulers run them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tracetail.contract.processes import is_alive

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "examples" / "sample_server.py"


def blocks(page):
    """Return the first code block of each section of a page."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    sections = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    found = ((title, re.search(r"```\w+\n(.*?)```", body, re.DOTALL)) for title, body in sections)
    return {title: match[1] for title, match in found if match}


RECIPES = blocks("schedulers.md")


class Job:
    """A job's directory on a machine that has tracetail."""

    def __init__(self, world, directory, port):
        self.directory = directory
        directory.mkdir()
        words = " ".join(f"'{word}'" for word in world.command())
        command = directory / "tracetail"
        command.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        command.chmod(0o755)
        self.environ = {**world.environ, "PATH": f"{directory}:{world.environ['PATH']}"}
        start = ["python3", str(SERVER), "--port", "{port}", "--load-seconds", "0"]
        self.service = {"modelName": "m", "port": port, "command": start, "readyWhen": "http"}
        (directory / "service.json").write_text(json.dumps(self.service))

    def run(self, *command, **environ):
        """Run one step; the sample server repeats the prompt, so the sum is in it."""
        words = [re.sub(r"""(['"])1\+1=\1""", "'1+1=2'", word) for word in command]
        done = subprocess.run(
            words, cwd=self.directory, env=self.environ | environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def job(world, tmp_path, free_port):
    return Job(world, tmp_path / "job", free_port())


def steps_of_github():
    steps = yaml.safe_load(RECIPES["GitHub Actions"])["jobs"]["llm"]["steps"]
    return [["bash", "-e", "-c", step["run"]] for step in steps if "run" in step]


def steps_of_gitlab():
    found = yaml.safe_load(RECIPES["GitLab CI"])["llm"]
    return [["bash", "-e", "-o", "pipefail", "-c", line] for line in found["script"] + found["after_script"]]


def steps_of_jenkins():
    return [["sh", "-xe", "-c", step] for step in re.findall(r"\bsh '(.*?)'", RECIPES["Jenkins"])]


@pytest.mark.field
@pytest.mark.parametrize(
    ("steps", "environ", "trace_id"),
    [
        (steps_of_github, {"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2", "GITHUB_JOB": "llm"}, "github-7-2"),
        (steps_of_gitlab, {"CI_PIPELINE_ID": "7", "CI_JOB_ID": "8"}, "gitlab-7"),
        (steps_of_jenkins, {"BUILD_TAG": "jenkins-模型 a-7", "JOB_NAME": "模型 a"}, "jenkins--a-7"),
    ],
    ids=["github", "gitlab", "jenkins"],
)
def test_a_pipeline_starts_tests_and_stops_its_server(world, job, steps, environ, trace_id):
    start, smoke, stop = steps()
    job.run(*start, **environ)
    launch = world.launches()[0]
    assert (launch.read()["state"], launch.read()["traceId"]) == ("ready", trace_id)
    job.run(*smoke, **environ)
    assert is_alive(launch.read()["server"])
    job.run(*stop, **environ)
    assert (launch.read()["state"], world.members(launch)) == ("stopped", [])


@pytest.mark.field
def test_xxl_job_runs_what_its_parameter_says(world, job):
    # ScriptUtil of xxl-job-core: bash <gluesource/<job>_<time>.sh> <parameter> <shard> <shards>.
    script = job.directory / "gluesource" / "3_1764192000000.sh"
    script.parent.mkdir()
    script.write_text(RECIPES["XXL-JOB"])
    for action in ("start", "stop"):
        job.run("bash", str(script), json.dumps({**job.service, "action": action, "modelName": "m $HOME"}), "0", "1")
        launch = world.launches()[0].read()
        assert (launch["modelName"], launch["jobId"]) == ("m $HOME", "3")
    assert launch["state"] == "stopped"


def test_a_slurm_job_that_is_cancelled_leaves_no_server(world, job, wait_until):
    # Slurm 22.05.8 with proctrack/cgroup: scancel and the time limit send SIGTERM to the script alone.
    job.service["command"][-1] = "60"
    (job.directory / "service.json").write_text(json.dumps(job.service))
    script = job.directory / "slurm_script"
    script.write_text(RECIPES["Slurm"])
    environ = job.environ | {"SLURM_JOB_ID": "7"}
    with subprocess.Popen(["bash", script], cwd=job.directory, env=environ, stdout=subprocess.DEVNULL) as running:
        wait_until(lambda: [launch for launch in world.launches() if "server" in launch.read()])
        running.terminate()
    assert running.returncode == 143
    launch = world.launches()[0]
    assert (launch.read()["traceId"], launch.read()["state"]) == ("slurm-7", "stopped")
    assert world.members(launch) == []


def test_both_languages_have_the_same_recipes():
    chinese = blocks("zh/schedulers.md")
    assert list(RECIPES.values()) == list(chinese.values())
    assert {"XXL-JOB", "Jenkins", "GitHub Actions", "GitLab CI", "Slurm"} <= RECIPES.keys() & chinese.keys()


@pytest.mark.parametrize(
    ("name", "schema"), [("GitHub Actions", "vendor.github-workflows"), ("GitLab CI", "vendor.gitlab-ci")]
)
def test_a_recipe_is_valid_by_its_published_schema(tmp_path, name, schema):
    pytest.importorskip("check_jsonschema", reason="needs pip install -e '.[dev]'")
    file = tmp_path / "recipe.yml"
    file.write_text(RECIPES[name])
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
