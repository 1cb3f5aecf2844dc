"""Tables and the waiting line: for a person at a terminal, and in a pipe."""

import json

import pytest
from click.testing import CliRunner
from support.launch_records import write_launch

from tracetail.cli import terminal
from tracetail.cli.launch import outcome
from tracetail.cli.main import main

COLUMNS = ("LAUNCHID", "STATE", "CAUSE")
LAUNCH_ID = "20261126T180028-27344e"
CAUSE = "the GPU's memory is full: tried to allocate 2.00 GiB of it"


@pytest.fixture
def at_a_terminal(monkeypatch):
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)

    def of_width(columns):
        monkeypatch.setenv("COLUMNS", str(columns))

    return of_width


def printed(capsys, *rows):
    terminal.print_table(COLUMNS, rows, folded=("CAUSE",), styles={"failed": "red"})
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_in_a_pipe_a_row_is_a_line_with_its_whole_cause(capsys):
    cause = "not ready after 600 s; the last sign of progress was 540 s ago: CUDA error: out of memory on device 3"
    lines = printed(capsys, (LAUNCH_ID, "failed", cause), ("b", "", ""))

    assert lines == [f"{'LAUNCHID':22}  STATE   CAUSE", f"{LAUNCH_ID}  failed  {cause}", "b"]


def test_in_a_pipe_a_long_cell_before_the_cause_ends_with_a_sign_that_it_is_cut(capsys):
    lines = printed(capsys, ("x" * 70, "failed", "a"), ("模型" * 20, "ready", ""))

    assert lines[1:] == [f"{'x' * 59}…  failed  a", f"{'模型' * 14}模 …  ready"]


def test_on_a_terminal_the_cause_is_folded_and_the_id_stays_whole(capsys, at_a_terminal):
    at_a_terminal(60)
    lines = printed(capsys, (LAUNCH_ID, "failed", CAUSE))

    assert lines[1].startswith(f"{LAUNCH_ID}  failed  the GPU's")
    assert " ".join(line[32:].strip() for line in lines[1:]) == CAUSE


def test_on_a_terminal_that_is_too_narrow_a_row_is_one_line(capsys, at_a_terminal):
    at_a_terminal(40)

    assert printed(capsys, (LAUNCH_ID, "failed", CAUSE))[1:] == [f"{LAUNCH_ID}  failed  {CAUSE}"]


def test_a_cell_cannot_control_the_terminal(capsys, at_a_terminal):
    at_a_terminal(60)

    assert "\x1b" not in "".join(printed(capsys, ("a", "b", "\x1b[2J[bold]c")))


@pytest.mark.parametrize(
    "command",
    [
        ["ps", "-a"],
        ["history", "--phases"],
        ["status", "--launch", LAUNCH_ID],
        ["logs", "--local", "--launch", LAUNCH_ID],
        ["bundle", LAUNCH_ID],
        ["gc", "--keep-days", "0", "--dry-run"],
    ],
)
def test_what_a_record_says_of_a_launch_does_not_control_the_terminal(tmp_path, monkeypatch, command):
    monkeypatch.setenv("TRACETAIL_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRACETAIL_LOKI_URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    forged = "\x1b]0;title\x07\x1b[2J\x9b31m"
    texts = dict.fromkeys(("service", "modelName", "engine", "host", "logFile"), f"m{forged}")
    segment = tmp_path / "logs" / f"m{forged}.log"
    segment.parent.mkdir()
    segment.write_text("")
    end = {"cause": forged, "hint": forged, "evidence": [forged]}
    phases = [{"name": forged, "seconds": 1.0}]
    segments = [str(segment), f"/x{forged}"]
    launch = write_launch(tmp_path, LAUNCH_ID, **texts, exit=end, phases=phases, segments=segments)
    launch.shipped_path.write_text(json.dumps({"schema": 1, "segments": {}, "complete": True}))
    monkeypatch.setattr(outcome, "is_terminal", lambda: True)  # elsewhere programs get the result
    done = CliRunner().invoke(main, command)
    assert "title" in done.output
    assert not [character for character in done.output if not (character.isprintable() or character in "\n\t")]
