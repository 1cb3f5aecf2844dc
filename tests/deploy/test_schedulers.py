"""The recipes of docs/schedulers.md: their commands, run as the schedulers run them, start and stop a real server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.environment import environment, free_port

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "schedulers.md", ROOT / "docs" / "zh" / "schedulers.md"]
SAMPLE_SERVER = ROOT / "examples" / "sample_server.py"


def blocks(page):
    """Return the code blocks of a page in their order: XXL-JOB, Jenkins, GitHub Actions, GitLab CI, Slurm."""
    return re.findall(r"^```(?:bash|groovy|yaml)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def steps():
    """Return (name of the scheduler, its shell commands, variables that the scheduler sets)."""
    xxl, jenkins, github, gitlab, slurm = blocks(PAGES[0])
    actions = yaml.safe_load(github)["jobs"]["llm"]
    ci = yaml.safe_load(gitlab)["llm"]
    return [
        ("jenkins", re.findall(r"sh '([^']*)'", jenkins), {"TRACE": "jenkins-j-1", "BUILD_TAG": "jenkins-j-1"}),
        (
            "github",
            [step["run"] for step in actions["steps"] if "run" in step],
            {"TRACE": "github-7-1", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1"},
        ),
        ("gitlab", ci["script"] + ci["after_script"], {"TRACE": "gitlab-7", "CI_PIPELINE_ID": "7", "CI_JOB_ID": "8"}),
        ("slurm", [slurm], {"TRACE": "slurm-7", "SLURM_JOB_ID": "7"}),
        ("xxl-job", [xxl], {}),
    ]


@pytest.fixture
def machine(tmp_path):
    """Return the environment of a test machine: tracetail on PATH, a service.json in the working directory."""
    command = tmp_path / "bin" / "tracetail"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tracetail "$@"\n')
    command.chmod(0o755)
    server = [sys.executable, str(SAMPLE_SERVER), "--port", "{port}", "--load-seconds", "0"]
    service = {"modelName": "m", "port": free_port(), "command": server, "readyWhen": "http"}
    (tmp_path / "service.json").write_text(json.dumps(service))
    found = environment(TRACETAIL_STATE_DIR=str(tmp_path / "state"), HOME=str(tmp_path))
    return found | {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}"}


def test_both_languages_have_the_same_recipes():
    assert blocks(PAGES[0]) == blocks(PAGES[1])


@pytest.mark.parametrize(("name", "commands", "variables"), [pytest.param(*step, id=step[0]) for step in steps()])
def test_a_recipe_starts_tests_and_stops_a_server(machine, tmp_path, name, commands, variables):
    if name == "xxl-job":
        (tmp_path / "glue.sh").write_text(commands[0])
        params = (tmp_path / "service.json").read_text()
        commands = [f"bash glue.sh '{params}' 0 1", "tracetail stop --model-name m"]
    for command in [
        command.replace("1+1=", "1+1= 2") for command in commands
    ]:  # the sample server repeats the prompt
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=tmp_path,
            env=machine | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(done.stdout.splitlines()[-1].removeprefix("TRACETAIL_RESULT "))
        assert result.get("traceId") == variables.get("TRACE", result.get("traceId"))
    assert result["state"] == "stopped"
