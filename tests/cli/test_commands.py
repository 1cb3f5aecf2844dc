"""Every command that `tracetail --help` lists exists and explains itself."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from support.environment import environment

from tracetail.cli.main import main

COMMANDS = main.list_commands(click.Context(main))


@pytest.mark.parametrize("name", [*COMMANDS, "keep"])
def test_a_listed_command_has_help(name):
    run = CliRunner().invoke(main, [name, "--help"])
    assert run.exit_code == 0, run.output
    assert run.output.startswith(f"Usage: tracetail {name}")
    assert "Commands:" in run.output or "Options:" in run.output


def test_help_lists_every_command_without_importing_them():
    run = CliRunner().invoke(main, ["--help"])
    assert run.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in run.output


def test_an_unknown_command_is_a_clear_error():
    run = CliRunner().invoke(main, ["strat"])
    assert run.exit_code == 2
    assert "There is no command 'strat'. Did you mean start" in run.output


def test_python_m_tracetail_names_itself_tracetail():
    run = subprocess.run(
        [sys.executable, "-m", "tracetail", "ps", "--hel"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.startswith("Usage: tracetail ps ")


LOADED = """
import sys
from tracetail.cli.main import main
main(sys.argv[1:], standalone_mode=False)
loaded = {name.split(".")[1] for name in sys.modules if name.startswith("tracetail.")}
print(*sorted(loaded & {"agent", "launcher", "panel", "store"}))
"""


@pytest.mark.parametrize(
    ("command", "parts"),
    [("", ""), ("start", "launcher"), ("ps", ""), ("stop", "launcher"), ("store", "store"), ("panel", "panel")],
)
def test_a_command_imports_the_part_that_it_needs_and_no_other(command, parts):
    run = subprocess.run(
        [sys.executable, "-c", LOADED, *command.split(), "--help"], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == parts


def test_a_reader_that_has_ended_is_not_taken_for_a_fault(tmp_path):
    """As in `tracetail status … | head -1`, where the message was that the state directory is a broken pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "tracetail", "status", "--model-name", "m"],
        env=environment(TRACETAIL_STATE_DIR=str(tmp_path)),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(writing)
    assert run.stderr == ""
