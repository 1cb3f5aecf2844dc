"""What stands at a path instead of a file is refused at once: nothing ever waits for the other end of a FIFO."""

import os
import pty
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracetail.agent.journal.database import Journal, connect
from tracetail.agent.reading.reader import FileReader
from tracetail.contract import outbox
from tracetail.contract.record import LaunchDir, LaunchLock, replace_file
from tracetail.contract.safe_open import NotAFileError, open_file, read_file
from tracetail.contract.secret_file import read_secret
from tracetail.contract.shipped import read_shipped
from tracetail.launcher import disk_reserve, plan
from tracetail.launcher.keeper.fifo import Output
from tracetail.launcher.keeper.position import PositionFile
from tracetail.launcher.log.log_end import read_from
from tracetail.store.disk.database import Database


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"/proc/self/fd/{directory}/{path.name}")  # the path itself may be too long for a socket
    os.close(directory)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_terminal(path: Path) -> None:
    _, end = pty.openpty()
    path.symlink_to(os.ttyname(end))


@pytest.fixture(params=[make_fifo, make_socket, make_device, make_terminal, Path.mkdir])
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "odd"
    request.param(path)
    return path


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    """End the test, instead of waiting for ever, if an open blocks."""
    import signal

    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("an open waited for the other end"))
    signal.alarm(20)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT | os.O_APPEND])
def test_only_files_are_opened(odd: Path, flags: int) -> None:
    with pytest.raises(NotAFileError, match=r"it is a .*, not a regular file"):
        open_file(odd, flags)


def test_a_path_that_is_replaced_after_the_look_at_it_is_refused_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.touch()
    before = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr("tracetail.contract.safe_open.os.stat", lambda _: before)
    with pytest.raises(NotAFileError, match="it is a FIFO"):
        open_file(path)


def test_files_are_read_written_created_and_truncated(tmp_path: Path) -> None:
    path = tmp_path / "file"
    descriptor = open_file(path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, b"content")
    os.close(descriptor)
    assert read_file(path) == b"content"
    assert read_file(path, 3) == b"con"
    assert path.stat().st_mode & 0o777 == 0o600
    os.close(open_file(path, os.O_WRONLY | os.O_TRUNC))
    assert read_file(path) == b""
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "none")


def _journal(path: Path) -> None:
    (path / "agent").mkdir()
    os.mkfifo(path / "agent" / "journal.lock")
    Journal(path / "agent" / "journal.db").open()


def _callback(path: Path) -> None:
    os.mkfifo(path / "1.json")
    with outbox.claim(path / "1.json"):
        pass


OPENS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a followed file": ("log", lambda path: FileReader(path / "log")),
    "a record": ("record.json", lambda path: LaunchDir(path).read()),
    "the lock of a launch, read": ("lock", lambda path: LaunchDir(path).lock_held()),
    "the lock of a launch, taken": ("lock", lambda path: LaunchLock(LaunchDir(path)).acquire()),
    "the plan of a launch": ("plan.json", lambda path: plan.read(LaunchDir(path))),
    "the position of a keeper": ("position", lambda path: PositionFile(path / "position")),
    "the reserve of a launch": ("reserve", lambda path: disk_reserve.reserve(LaunchDir(path))),
    "the end of a log": ("x.log", lambda path: read_from(path / "x.log", -100)),
    "a secret": ("secret", lambda path: read_secret("loki.bearer_token_file", str(path / "secret"))),
    "the lock of a callback": ("1.lock", _callback),
    "the lock of the journal": ("none", _journal),
    "the journal": ("journal.db", lambda path: connect(path / "journal.db", readonly=True)),
    "the lock of the store": ("store.db.lock", lambda path: Database(path / "store.db").open()),
    "a temporary file": (f".x.{os.getpid()}", lambda path: replace_file(path / "x", b"")),
}
"""What is opened: the name that a FIFO gets, and the call that opens it."""


@pytest.mark.parametrize("name", OPENS)
def test_no_part_waits_for_a_fifo_in_the_place_of_its_file(tmp_path: Path, name: str) -> None:
    place, opens = OPENS[name]
    os.mkfifo(tmp_path / place)
    with pytest.raises(Exception, match="FIFO"):
        opens(tmp_path)


def test_a_shipped_file_that_is_a_fifo_counts_as_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shipped.json")
    assert read_shipped(tmp_path / "shipped.json") is None


def test_a_file_in_the_place_of_the_servers_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "output").touch()
    with pytest.raises(OSError, match="it is not a FIFO"):
        Output(tmp_path / "output")
