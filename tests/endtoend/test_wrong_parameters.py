"""A wrong parameter: one line that says what to change, no server, and the refused start is found by its trace."""

import subprocess

import pytest
from support import commands
from support.waiting import wait_for

GOOD = {"modelName": "m", "engine": "custom", "command": ["sleep", "60"], "traceId": "trace-wrong"}


def start(machine, params):
    return commands.run(
        "start", "--params", params, env=machine.environ, stdin=subprocess.DEVNULL, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("params", "status", "says"),
    [
        ('{"modelName": "m",}', 2, "JSON"),
        ('{"modelName": "m", "modelPaht": "/x"}', 2, "modelPath"),
        ('{"modelName": "m", "engine": "custom", "command": ["sleep", "60"], "port": 70000}', 2, "port"),
        ('{"modelName": "m", "modelPath": "/does/not/exist", "traceId": "trace-wrong"}', 15, "/does/not/exist"),
        ('{"modelName": "m", "engine": "custom", "command": ["sleep"], "traceId": "a\\"b"}', 2, "traceId"),
        ('{"modelName": "m", "engine": "custom", "command": ["sleep"], "traceId": "a\\nb"}', 2, "traceId"),
        ("{}", 2, "modelName"),
        ("[]", 2, "object"),
    ],
    ids=["bad-json", "unknown-key", "port", "model-path", "quote", "newline", "empty", "not-an-object"],
)
def test_wrong_parameters_say_what_to_change_and_start_nothing(bare_machine, params, status, says):
    run = start(bare_machine, params)
    assert run.returncode == status, run.stdout + run.stderr
    problem = [line for line in run.stderr.splitlines() if line.strip()]
    assert len(problem) == 1, run.stderr
    assert problem[0].startswith("error: ")
    assert says in problem[0]
    assert "Traceback" not in run.stdout
    for launch in bare_machine.launches():
        assert "server" not in launch.read()


def test_a_refused_start_is_found_by_its_trace(machine):
    run = start(machine, '{"modelName": "m", "modelPath": "/does/not/exist", "traceId": "trace-refused"}')
    assert run.returncode == 15
    text = machine.wait_for_event("trace-refused", "refused")
    assert "/does/not/exist" in text
    assert "exitStatus=15" in text
    wait_for(lambda: machine.tracetail("ps", "--json").returncode == 0, "ps")


def test_a_start_refused_for_an_unknown_key_is_found_by_its_trace_too(machine):
    run = start(machine, '{"modelName": "m", "modelPaht": "/x", "traceId": "trace-unknown-key"}')
    assert run.returncode == 2
    text = machine.wait_for_event("trace-unknown-key", "refused")
    assert "modelPaht" in text
    assert "exitStatus=2" in text
