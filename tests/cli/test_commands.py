"""Every command that `tracetail --help` lists exists and explains itself."""

import click
import pytest
from click.testing import CliRunner

from tracetail.cli.main import main

COMMANDS = main.list_commands(click.Context(main))


@pytest.mark.parametrize("name", [*COMMANDS, "keep"])
def test_a_listed_command_has_help(name):
    run = CliRunner().invoke(main, [name, "--help"])
    assert run.exit_code == 0, run.output
    assert run.output.startswith(f"Usage: main {name}")
    assert "Commands:" in run.output or "Options:" in run.output


def test_help_lists_every_command_without_importing_them():
    run = CliRunner().invoke(main, ["--help"])
    assert run.exit_code == 0
    for name in COMMANDS:
        assert f"  {name} " in run.output


def test_an_unknown_command_is_a_clear_error():
    run = CliRunner().invoke(main, ["strat"])
    assert run.exit_code == 2
    assert "No such command 'strat'" in run.output
