"""What a server prints is what its traceId returns: every byte of every line, in order, once."""

import re
import sys
from pathlib import Path

import pytest
from support.machine import Entry, Machine, put_together
from support.waiting import wait_for

DATA = Path(__file__).parents[1] / "data"
PRINT_BYTES = Path(__file__).with_name("print_bytes.py")
REAL_LOGS = sorted((DATA / "vllm-logs").glob("*.log"))

MADE = {
    "last-line-without-lf": b"first\nlast without line end",
    "pause-in-mid-line": b"before the pause, after the pause\nnext\n",
    "invalid-utf8": b"ok \xe4\xbd\xa0\xe5\xa5\xbd\nbad \xff\xfe and cut \xe4\xbd end\nlatin1 caf\xe9\n",
    "nul-bytes": b"a\0b\n\0\nend\n",
    "empty-lines": b"\n\na\n\n\nb\n",
    "blanks": b"  two before, two after  \n\ttab\t\n \n",
    "crlf": b"one\r\ntwo\r\n\r\nthree\n",
    "line-of-300-KB": b"x" * 300 * 1024 + b"\nshort\n",
    "line-of-5-MB": b"begin\n" + bytes(range(97, 123)) * (5 * 1024 * 1024 // 26) + b"\nend\n",
    "looks-like-the-keeper": (
        b"2026-11-22T21:12:10.123456789+08:00 [traceId=other instanceId=other event] ready seconds=1\n"
        b"[traceId=other instanceId=other] (APIServer pid=1) INFO 11-22 13:12:10 [x.py:1] text\n"
    ),
}
PAUSES = {"pause-in-mid-line": [18, 1.0]}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Yield one machine with store and agent for all tests: each has a trace and a service of its own."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    try:
        machine.start("store")
        machine.start("agent")
        yield machine
    finally:
        machine.close()


def print_through(machine: Machine, tmp_path: Path, data: bytes, trace_id: str, pauses: list = ()) -> list[Entry]:
    """Launch a server that prints data, and return what its traceId finds."""
    source = tmp_path / "printed"
    source.write_bytes(data)
    result = machine.launch(
        [sys.executable, str(PRINT_BYTES), str(source), *map(str, pauses)],
        modelName=trace_id,
        traceId=trace_id,
        readyWhen="alive",
    )
    wait_for(lambda: Path(result["logFile"]).stat().st_size >= min(len(data), 100), "the log")
    stopped = machine.tracetail("stop", modelName=trace_id)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    machine.wait_for_event(trace_id, "exited")
    return machine.entries(trace_id)


def expected_text(data: bytes) -> str:
    return data.replace(b"\r\n", b"\n").decode(errors="replace")


@pytest.mark.parametrize("log", REAL_LOGS, ids=lambda path: path.stem)
def test_a_real_log_comes_back_as_it_was_printed(machine, tmp_path, log):
    data = log.read_bytes()
    entries = print_through(machine, tmp_path, data, f"trace-{log.stem}")
    assert put_together(entries) == expected_text(data)
    levels = [entry.labels["level"] for entry in entries if entry.kind != "event"]
    assert levels == (DATA / "levels" / f"{log.stem}.txt").read_text().split()


@pytest.mark.parametrize("name", MADE)
def test_whatever_bytes_a_server_prints_come_back(machine, tmp_path, name):
    entries = print_through(machine, tmp_path, MADE[name], f"trace-{name}", PAUSES.get(name, ()))
    assert put_together(entries) == expected_text(MADE[name])


def test_of_a_progress_bar_the_last_state_stays_and_every_line_around_it(machine, tmp_path):
    bars = b"".join(b"\rloading %3d%%" % percent for percent in range(101))
    data = b"before\n" + bars + b"\nbetween\n" + b"a\rb\rc\rend\nafter\n"
    printed = put_together(print_through(machine, tmp_path, data, "trace-progress"))
    pieces = re.findall(r"[^\r\n]*[\r\n]", printed)
    lines = [piece for piece in pieces if piece.endswith("\n")]
    assert lines == ["before\n", "loading 100%\n", "between\n", "end\n", "after\n"]
    redraws = [piece for piece in pieces if piece.endswith("\r")]
    assert "c\r" in redraws, "the last state before the line goes on is kept"
    assert len(redraws) < 20
    remaining = iter(re.findall(r"[^\r\n]*\r", data.decode()))
    assert all(piece in remaining for piece in redraws), "what is kept stands in the printed order"
