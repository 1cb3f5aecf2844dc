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


def run_by_java(world, workspace, kind, source):
    command = [shutil.which("java"), str(HERE / "ScriptWorker.java"), str(workspace), kind, str(source), *INSTANCES]
    done = subprocess.run(command, env=world.environ, capture_output=True, text=True, timeout=100, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


def run_by_python(world, workspace, kind, source):
    directory = workspace / "official_script_processor"
    directory.mkdir(parents=True)
    answers = []
    for instance in INSTANCES:
        script = directory / (f"shell_{instance}.sh" if kind == "shell" else f"python_{instance}.py")
        script.write_text(source.read_text().replace("@INSTANCE@", instance))
        program = "/bin/sh" if kind == "shell" else sys.executable
        done = subprocess.run(
            [program, script], env=world.environ, capture_output=True, text=True, timeout=60, check=False
        )
        answers.append([instance, str(done.returncode), (done.stdout + done.stderr).replace("\n", " ")])
    return answers


@pytest.mark.parametrize(("kind", "name"), [("shell", "start_llm.sh"), ("python", "start_llm.py")])
def test_the_job_ends_with_the_launcher_and_ten_of_ten_servers_survive(world, tracetail, tmp_path, kind, name):
    run = run_by_java if shutil.which("java") else run_by_python
    answers = run(world, tmp_path / "worker", kind, recipe(world, tracetail, name, tmp_path))
    assert [(instance, status) for instance, status, _ in answers] == [(instance, "0") for instance in INSTANCES]
    assert all("TRACETAIL_RESULT {" in result for _, _, result in answers)
    launches = world.launches()
    assert sorted(launch.read()["instanceId"] for launch in launches) == INSTANCES
    assert all(is_alive(launch.read()["server"]) for launch in launches)
    for instance in INSTANCES:
        assert world.run("stop", "--model-name", f"m-{instance}").status == 0


@pytest.mark.needs("javac")
def test_the_java_processor_passes_parameters_and_instance_and_returns_the_result(world, tracetail, tmp_path):
    classes = tmp_path / "classes"
    sources = [*HERE.rglob("stubs/**/*.java"), HERE / "ProcessorMain.java", RECIPES / "TracetailProcessor.java"]
    subprocess.run(["javac", "-Xlint:all", "-Werror", "-d", str(classes), *map(str, sources)], check=True)
    params = tmp_path / "params.json"
    params.write_text(world.params([["text", "ready now\n"], ["stay"]], traceId="t-1"))
    environ = world.environ | {"TRACETAIL": str(tracetail)}
    command = ["java", "-cp", str(classes), "ProcessorMain", str(params), "4711"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    *online, last = done.stdout.splitlines()
    success, _, message = last.partition("\t")
    assert success == "true"
    result = json.loads(message.removeprefix("TRACETAIL_RESULT "))
    assert (result["instanceId"], result["jobId"], result["traceId"]) == ("4711", "7", "t-1")
    assert any("traceId t-1" in line for line in online)
    params.write_text(world.params([["exit", 3]], modelName="n"))
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    success, _, message = done.stdout.splitlines()[-1].partition("\t")
    assert success == "false"
    assert "exited with status 3 before it was ready" in message
    assert world.run("stop", "--model-name", "m").status == 0
