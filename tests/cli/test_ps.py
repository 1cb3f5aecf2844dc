"""`tracetail ps`: what it lists, how old it is, what filters leave, and how it goes on on a terminal."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from support.launch_records import write_launch

from tracetail.cli.launch.ps import age
from tracetail.cli.main import main

STARTED = "2026-11-27T10:00:00+00:00"
NOW = 1795773600.0
"""The same moment, in seconds."""


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACETAIL_STATE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def three(state):
    """A failed, a stopped and a crashed launch, from old to new."""
    write_launch(state, "20261127T100000-000001", state="failed", exit={"cause": "模型目录不完整", "causeCode": "x"})
    write_launch(state, "20261127T100001-000002", state="stopped", service="test/通义千问", modelName="通义千问")
    write_launch(
        state,
        "20261127T100002-000003",
        state="crashed",
        engine="vllm",
        env="prod",
        server={"pid": 2**22 + 1, "startTime": 1, "bootId": "gone"},
    )


def listed(*arguments):
    done = CliRunner().invoke(main, ["ps", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def ids(*arguments):
    return [row["launchId"][-1] for row in json.loads(listed(*arguments, "--json"))]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (310, "5m10s"), (3599, "59m"), (12000, "3h20m"), (86400, "24h"), (12 * 86400, "12d")],
)
def test_an_age_has_the_units_that_matter(seconds, text):
    assert age(STARTED, NOW + seconds) == text


def test_an_age_in_the_future_or_of_no_time_is_no_error():
    assert (age(STARTED, NOW - 5), age("soon", NOW)) == ("0s", "")


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 3, 1)])
def test_launches_of_one_second_are_listed_as_they_began(state, order):
    for number, suffix in enumerate(order):
        started = f"2026-11-27T10:00:00.{number}00000000+00:00"
        write_launch(state, f"20261127T100000-00000{suffix}", state="stopped", startedAt=started)
    write_launch(state, "20261127T100001-000000", state="stopped", startedAt="2026-11-27T10:00:01.000000000+00:00")
    assert ids("--all") == ["0", *map(str, reversed(order))]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), []),
        (("-a",), ["3", "2", "1"]),
        (("--last", "2"), ["3", "2"]),
        (("--state", "failed"), ["1"]),
        (("--state", "failed", "--state", "crashed"), ["3", "1"]),
        (("-a", "--model", "通义千问"), ["2"]),
        (("-a", "--env", "prod"), ["3"]),
        (("-a", "--engine", "vllm"), ["3"]),
        (("-a", "--trace-id", "trace-2"), []),
        (("-a", "模型", "FAILED"), ["1"]),
    ],
)
def test_filters(arguments, found):
    assert ids(*arguments) == found


@pytest.mark.usefixtures("three")
def test_a_process_that_has_ended_has_no_pid():
    assert json.loads(listed("--state", "crashed", "--json"))[0]["pid"] is None


@pytest.mark.usefixtures("three")
def test_wide_characters_do_not_move_the_columns():
    header, *rows = listed("-a").splitlines()

    assert [_column(row, "trace-1") for row in rows] == [_column(header, "TRACEID")] * 3


def _column(line, text):
    """Return at which column of a terminal a text begins, where a Chinese character takes two."""
    before = line[: line.index(text)]
    return len(before) + sum(character > "ᄀ" for character in before)


@pytest.mark.usefixtures("three")
def test_an_empty_list_says_how_to_see_more():
    assert listed() == "nothing runs; with -a: what has ended\n"
    assert listed("--model", "nobody") == "no launch matches; with -a: those that have ended\n"
    assert listed("-a", "--model", "nobody") == "no launch matches\n"


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--state", "dead"], "use one of crashed, failed, ready"), (["--watch"], "--watch needs a terminal")],
)
def test_what_cannot_be_is_said(arguments, said):
    done = CliRunner().invoke(main, ["ps", *arguments])

    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.usefixtures("three")
def test_watch_shows_new_launches_until_ctrl_c(state):
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "160", "LINES": "40", "TERM": "xterm", "CI": ""}
    command = [sys.executable, "-m", "tracetail", "ps", "-a", "--watch"]
    # Without a terminal's job control a shell starts what runs in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        watching = subprocess.Popen(
            command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    os.close(theirs)
    _read_until(ours, b"000003")
    write_launch(state, "20261127T100003-000004")
    _read_until(ours, b"000004")
    watching.send_signal(signal.SIGINT)
    try:
        _read_to_the_end(ours)  # a terminal that nobody reads blocks who writes to it
        assert watching.wait(timeout=60) == 0
    finally:
        watching.kill()
        watching.wait()
        os.close(ours)


def _read_to_the_end(descriptor):
    with contextlib.suppress(OSError):  # EIO: the other side is closed
        while os.read(descriptor, 65536):
            pass


def _read_until(descriptor, text):
    shown, end = b"", time.monotonic() + 60
    while text not in shown:
        readable, _, _ = select.select([descriptor], [], [], max(0, end - time.monotonic()))
        assert readable, shown
        shown += os.read(descriptor, 65536)
