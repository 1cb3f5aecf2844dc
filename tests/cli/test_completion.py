"""Completion in a real bash, and what a mistyped command is answered with."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.launch_records import write_launch

from tracetail.cli.main import main

BIN = Path(sys.executable).parent

_ASK = """
eval "$(tracetail completion bash)"
COMP_WORDS=({words}) COMP_CWORD={last}
_tracetail_completion tracetail
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACETAIL_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", f"{BIN}:/usr/bin:/bin")
    write_launch(tmp_path, "20261127T100000-000001", modelName="qwen-7b", traceId="run-7")
    write_launch(tmp_path, "20261127T100001-000002", modelName="llama-8b", traceId="run-8")
    return tmp_path


def completed(*words):
    script = _ASK.format(words=" ".join(f"'{word}'" for word in ("tracetail", *words)), last=len(words))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["sta"], ["start", "status"]),
        (["logs", "--launch", ""], ["20261127T100001-000002", "20261127T100000-000001"]),
        (["status", "--model-name", "q"], ["qwen-7b"]),
        (["open", "run-"], ["run-8", "run-7"]),
        (["logs", "--request"], ["--request-id"]),
        (["logs", "--lan"], ["--lang"]),
        (["logs", "--lang", ""], ["en", "zh"]),
    ],
)
def test_bash_completes_commands_options_ids_and_models(words, offered):
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_is_the_users_own(shell, monkeypatch):
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")

    assert f"{shell}_complete" in CliRunner().invoke(main, ["completion"]).output


def test_an_unknown_shell_is_said(monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/dash")
    done = CliRunner().invoke(main, ["completion"])

    assert (done.exit_code, done.output) == (2, "error: which shell? Give one of bash, zsh, fish\n")


@pytest.mark.parametrize(
    ("typed", "meant"), [(["strat"], "start"), (["log"], "logs"), (["config", "chekc"], "check"), (["opne"], "open")]
)
def test_a_mistyped_command_is_answered_with_the_nearest(typed, meant):
    done = CliRunner().invoke(main, typed)

    assert done.exit_code == 2
    assert f"There is no command '{typed[-1]}'. Did you mean {meant}" in done.output
