"""`tracetail start -- COMMAND`: the server's own command line in place of parameters."""

import sys

import pytest

from tracetail.launcher.command_params import command_params

SERVER = "import sys; print('ready now', sys.argv[1:], flush=True); sys.stdin.read() or __import__('time').sleep(600)"


@pytest.mark.parametrize(
    ("command", "model", "port"),
    [
        ("vllm serve Qwen/Qwen3-8B --port 8011", "Qwen/Qwen3-8B", 8011),
        ("vllm serve /models/qwen --served-model-name qwen", "qwen", 8000),
        ("/opt/llm/bin/python -m sglang.launch_server --model-path /models/q --port=30001", "/models/q", 30001),
        ("./serve.sh --port 9000", "serve.sh", 9000),
        ("./serve.sh", "serve.sh", None),
    ],
)
def test_model_and_port_are_those_of_the_command(command, model, port):
    values, _ = command_params(command.split(), {})

    assert (values["modelName"], values.get("port"), values["command"]) == (model, port, command.split())


def test_the_command_is_started_and_flags_take_precedence(world):
    words = [sys.executable, "-c", SERVER, "--port", "x", "--", "rest"]
    done = world.run("start", "--model-name", "mine", "--ready-when", "log:ready now", "--", *words)

    assert done.status == 0, done.stdout + done.stderr
    assert done.result["modelName"] == "mine"
    assert "ready now ['--port', 'x', '--', 'rest']" in world.output(world.launch(done.result)).decode()
    assert world.run("stop", "--model-name", "mine").status == 0


def test_words_without_the_mark_are_refused_with_the_usage(world):
    done = world.run("start", "vllm", "serve", "m")

    assert done.status == 2
    assert "[-- COMMAND...]" in done.stderr
    assert "unexpected extra argument" in done.stderr
