"""The recipes of deploy/powerjob, run as PowerJob's worker runs them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tracetail.contract.processes import is_alive

HERE = Path(__file__).parent / "powerjob"
RECIPES = Path(__file__).parents[2] / "deploy" / "powerjob"
INSTANCES = [str(100_200_300_400 + number) for number in range(10)]


@pytest.fixture
def tracetail(world, tmp_path):
    """Return the path of a command that a worker can call."""
    path = tmp_path / "tracetail"
    words = " ".join(f"'{word}'" for word in world.command())
    path.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    path.chmod(0o755)
    return path


def recipe(world, tracetail, name, tmp_path):
    """Return a recipe with our command and parameters in it; @INSTANCE@ stands for the instance id."""
    params = world.params([["text", "ready now\n"], ["stay"]], modelName="m-@INSTANCE@")
    source = (RECIPES / name).read_text().replace("/opt/tracetail/bin/tracetail", str(tracetail))
    if name.endswith(".sh"):
        begin, end = source.index("{\n"), source.index("\nJSON\n")
        source = source[:begin] + params + source[end:]
    else:
        begin, end = source.index("PARAMS = {"), source.index("\n}\n") + 2
        source = source[:begin] + f"PARAMS = json.loads({params!r})" + source[end:]
    path = tmp_path / name
    path.write_text(source)
    return path


def run_by_java(world, workspace, kind, source, instances):
    command = [shutil.which("java"), str(HERE / "ScriptWorker.java"), str(workspace), kind, str(source), *instances]
    done = subprocess.run(command, env=world.environ, capture_output=True, text=True, timeout=100, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def run_by_python(world, workspace, kind, source, instances):
    directory = workspace / "official_script_processor"
    directory.mkdir(parents=True)
    answers = []
    for instance in instances:
        script = directory / (f"shell_{instance}.sh" if kind == "shell" else f"python_{instance}.py")
        script.write_text(source.read_text().replace("@INSTANCE@", instance))
        program = "/bin/sh" if kind == "shell" else sys.executable
        done = subprocess.run(
            [program, script], env=world.environ, capture_output=True, text=True, timeout=60, check=False
        )
        answers.append([instance, str(done.returncode), (done.stdout + done.stderr).replace("\n", " ")])
    return answers


@pytest.mark.parametrize("count", [2, pytest.param(len(INSTANCES), marks=pytest.mark.field)])
@pytest.mark.parametrize(("kind", "name"), [("shell", "start_llm.sh"), ("python", "start_llm.py")])
def test_the_job_ends_with_the_launcher_and_every_server_survives(world, tracetail, tmp_path, kind, name, count):
    instances = INSTANCES[:count]
    run = run_by_java if shutil.which("java") else run_by_python
    answers = run(world, tmp_path / "worker", kind, recipe(world, tracetail, name, tmp_path), instances)
    assert [(instance, status) for instance, status, _ in answers] == [(instance, "0") for instance in instances]
    assert all("TRACETAIL_RESULT {" in result for _, _, result in answers)
    launches = world.launches()
    assert sorted(launch.read()["instanceId"] for launch in launches) == instances
    assert all(is_alive(launch.read()["server"]) for launch in launches)
    for instance in instances:
        assert world.run("stop", "--model-name", f"m-{instance}").status == 0


def script(tracetail, tmp_path):
    """Return start_llm.py as a test machine has it, for any server's command."""
    path = tmp_path / "start_llm.py"
    path.write_text((RECIPES / "start_llm.py").read_text().replace("/opt/tracetail/bin/tracetail", str(tracetail)))
    return path


@pytest.fixture
def recorder(tmp_path):
    """Return a command in tracetail's place that prints its arguments and its input as JSON, and fails with 7."""
    path = tmp_path / "recorder"
    path.write_text(
        f"#!{sys.executable}\nimport json, sys\n"
        "print(json.dumps([sys.argv[1:], json.load(sys.stdin)]))\nsys.exit(7)\n"
    )
    path.chmod(0o755)
    return path


MACHINE = {"pythonBin": "/opt/llm/venv/bin/python", "readyTimeoutSec": 900}
ORIGINAL = ["--model-name", "llama3", "--model-path", "/data/models/llama3", "--port", "8001"]


@pytest.mark.parametrize(
    ("arguments", "flags", "params"),
    [
        (ORIGINAL, ORIGINAL, MACHINE),
        ([*ORIGINAL, "--callback-url", "http://p/"], [*ORIGINAL, "--callback-url", "http://p/"], MACHINE),
        (['{"modelName": "llama3", "pythonBin": "py"}'], [], {**MACHINE, "modelName": "llama3", "pythonBin": "py"}),
        (['{"modelName": "llama3"}', "--port", "8001"], ["--port", "8001"], {**MACHINE, "modelName": "llama3"}),
    ],
)
def test_the_script_starts_the_model_of_its_arguments(recorder, tmp_path, arguments, flags, params):
    done = subprocess.run(
        [sys.executable, script(recorder, tmp_path), *arguments], capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout) == [["apply", "--params", "-", *flags], params]
    assert done.returncode == 7


def test_the_script_refuses_what_is_no_json(recorder, tmp_path):
    command = [sys.executable, script(recorder, tmp_path), "{'modelName': 'llama3'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the parameters are not valid JSON: ")


def test_ending_the_script_ends_the_start(world, tracetail, tmp_path, wait_until):
    command = [sys.executable, script(tracetail, tmp_path), world.params([["stay"]])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=world.environ) as process:
        wait_until(lambda: world.launches() and "server" in world.launches()[0].read())
        process.terminate()
        assert "ended by SIGTERM: launch " in process.stdout.read()
        assert process.wait(60) == 143
    assert not world.members(world.launches()[0])
