"""The journal's file: what becomes of it while the agent has it open."""

import asyncio
import contextlib
import re
import shutil
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.waiting import eventually

from tracetail.agent.journal import database, queries
from tracetail.agent.journal.database import (
    Journal,
    JournalCorruptError,
    JournalFullError,
    JournalLockedError,
    connect,
)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[Journal]:
    opened = Journal(tmp_path / "agent" / "journal.db")
    opened.open()
    yield opened
    opened.close()


async def add_source(journal: Journal, key: str) -> None:
    await journal.write(lambda db: queries.open_source(db, key, "file", {}, 1))


async def add_sources(journal: Journal, count: int) -> None:
    def add(db: sqlite3.Connection) -> None:
        for number in range(count):
            queries.open_source(db, f"{number}" * 100, "file", {}, 1)

    await journal.write(add)


def add_source_soon(journal: Journal, key: str) -> None:
    journal.write_soon(lambda db: queries.open_source(db, key, "file", {}, 1))


async def keys_after_a_restart(journal: Journal) -> set[str]:
    journal.close()
    again = Journal(journal.path)
    again.open()
    try:
        return await again.write(lambda db: {row["key"] for row in db.execute("SELECT key FROM sources")})
    finally:
        again.close()


def remove_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


def remove_file(path: Path) -> None:
    path.unlink()


def replace_by_rubbish(path: Path) -> None:
    (path.parent / "new").write_text("no database")
    (path.parent / "new").rename(path)


@pytest.mark.parametrize("harm", [remove_directory, remove_file, replace_by_rubbish])
async def test_a_journal_that_is_removed_or_replaced_is_written_again(
    journal: Journal, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None]
) -> None:
    await add_source(journal, "before")
    harm(journal.path)
    await add_source(journal, "after")
    assert "was removed or replaced" in caplog.text
    with pytest.raises(JournalLockedError):
        Journal(journal.path).open()
    assert await keys_after_a_restart(journal) == {"before", "after"}


async def test_a_journal_that_cannot_be_written_again_is_tried_again(journal: Journal) -> None:
    await add_source(journal, "before")
    remove_directory(journal.path)
    journal.path.parent.write_text("a file in its place")
    with pytest.raises(JournalFullError, match="cannot be written again"):
        await add_source(journal, "refused")
    journal.path.parent.unlink()
    await add_source(journal, "after")
    assert await keys_after_a_restart(journal) == {"before", "after"}


async def test_an_error_of_the_disk_is_not_only_called_a_full_one(journal: Journal) -> None:
    # What SQLite 3.40 reports on an ext4 that the kernel has made read-only (errors=remount-ro).
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE

    def change(_: sqlite3.Connection) -> None:
        raise failed

    with pytest.raises(JournalFullError, match="disk I/O error; free space on its disk, or see dmesg"):
        await journal.write(change)


def put_an_older_one_there(path: Path) -> None:
    shutil.copy(path, path.with_name("older.db"))
    path.with_name("older.db").rename(path)


@pytest.mark.parametrize("harm", [remove_file, put_an_older_one_there])
async def test_what_is_written_again_is_whole(journal: Journal, harm: Callable[[Path], None]) -> None:
    # Of a journal that has held more than now the pages get other numbers when it is written again.
    await add_sources(journal, 300)
    await journal.write(lambda db: db.execute("DELETE FROM sources WHERE id % 3"))
    journal.close()
    journal.open()
    await add_sources(journal, 150)
    harm(journal.path)
    await add_source(journal, "after")
    assert journal.path.stat().st_mode & 0o777 == 0o640
    [found] = await journal.write(lambda db: db.execute("PRAGMA integrity_check").fetchone())
    assert found == "ok"
    assert len(await keys_after_a_restart(journal)) == 201


async def test_a_journal_that_becomes_corrupt_while_it_is_used_is_replaced_at_the_next_start(
    journal: Journal,
) -> None:
    await add_sources(journal, 2000)  # more than SQLite keeps in memory
    for path in (journal.path, journal.path.with_name("journal.db-wal")):
        path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(JournalCorruptError, match="the next start replaces it"):
        await journal.write(lambda db: db.execute("SELECT count(key) FROM sources NOT INDEXED").fetchone())
    assert await keys_after_a_restart(journal) == set()


async def test_a_change_that_nobody_waits_for_is_made_before_the_next_one(journal: Journal) -> None:
    add_source_soon(journal, "a")
    found = await journal.write(lambda db: [row["key"] for row in db.execute("SELECT key FROM sources")])
    assert found == ["a"]


async def test_nobody_waits_for_a_change_that_nobody_waits_for(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_SOON_SECONDS", 3600)
    busy = threading.Event()
    first = asyncio.create_task(journal.write(lambda _: busy.wait(60)))
    second = asyncio.create_task(add_source(journal, "a"))
    await asyncio.sleep(0)  # both are in the queue, the thread is with the first one
    add_source_soon(journal, "b")
    busy.set()
    await asyncio.wait_for(asyncio.gather(first, second), 30)


async def test_a_change_that_nobody_waits_for_is_made_without_another_one(journal: Journal) -> None:
    add_source_soon(journal, "a")

    def is_there() -> bool:
        with contextlib.closing(connect(journal.path, readonly=True)) as reader:
            return reader.execute("SELECT 1 FROM sources").fetchone() is not None

    await eventually(is_there)
    add_source_soon(journal, "b")
    assert await keys_after_a_restart(journal) == {"a", "b"}


async def test_a_change_that_nobody_waits_for_is_made_once_the_disk_can_be_written_again(journal: Journal) -> None:
    remove_directory(journal.path)
    journal.path.parent.write_text("a file in its place")
    add_source_soon(journal, "soon")
    with pytest.raises(JournalFullError, match="cannot be written again"):
        await add_source(journal, "refused")
    journal.path.parent.unlink()
    await add_source(journal, "after")
    assert await keys_after_a_restart(journal) == {"soon", "after"}


async def test_no_change_overtakes_one_that_is_tried_again(journal: Journal) -> None:
    made: list[str] = []
    failures = [JournalFullError("full")] * 4  # together with another change, and by itself; twice

    def make_soon(_: sqlite3.Connection) -> None:
        if failures:
            raise failures.pop()
        made.append("soon")

    journal.write_soon(make_soon)
    for _ in range(2):
        with pytest.raises(JournalFullError):
            await journal.write(lambda _: made.append("overtakes"))
        made.clear()  # what is rolled back
    await journal.write(lambda _: made.append("after"))
    assert made == ["soon", "after"]


@pytest.mark.parametrize("error", [PermissionError("no"), sqlite3.OperationalError("no")], ids=["disk", "SQLite"])
async def test_an_error_outside_of_a_change_is_raised_and_does_not_end_the_thread(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with monkeypatch.context() as patch:

        def fail(_: object, __: object) -> None:
            raise error

        patch.setattr(Journal, "_in_place", fail)
        add_source_soon(journal, "soon")
        with pytest.raises(JournalFullError, match="no"):
            await asyncio.wait_for(add_source(journal, "refused"), 10)
    await add_source(journal, "after")
    assert await keys_after_a_restart(journal) == {"soon", "after"}


async def test_corruption_that_is_found_outside_of_a_change_is_not_taken_for_a_full_disk(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def fail(_: object, __: object) -> None:
        raise error

    monkeypatch.setattr(Journal, "_in_place", fail)
    with pytest.raises(JournalCorruptError, match="is corrupt"):
        await asyncio.wait_for(add_source(journal, "refused"), 10)


async def test_a_log_that_an_agent_found_and_did_not_read_is_looked_for_by_the_next_one(tmp_path: Path) -> None:
    # An agent that was killed seconds after its start made history of what had been rotated before that.
    path = tmp_path / "agent" / "journal.db"
    first = Journal(path)
    first.open()
    listed_ns = first.listed_ns
    await first.write(lambda db: queries.open_source(db, "/a.log", "file", {}, 1, listed_ns))
    first.close()
    second = Journal(path)
    second.open()
    assert second.listed_ns == listed_ns
    assert await second.write(queries.unfinished_files) == {"/a.log": {}}
    row = await second.write(lambda db: queries.open_source(db, "/a.log", "file", {}, 1, listed_ns + 5))
    assert row.listed_ns == listed_ns
    await second.write(lambda db: queries.note_look(db, listed_ns + 5))
    await second.write(lambda db: queries.forget_file(db, "/a.log"))
    second.close()
    third = Journal(path)
    third.open()
    assert third.listed_ns == listed_ns + 5
    assert await third.write(queries.unfinished_files) == {}
    third.close()


async def test_a_change_that_nobody_waits_for_is_not_lost_while_the_journal_is_read_only(journal: Journal) -> None:
    error = sqlite3.OperationalError("attempt to write a readonly database")
    error.sqlite_errorcode = sqlite3.SQLITE_READONLY
    errors = [error]

    def add(db: sqlite3.Connection) -> None:
        if errors:
            raise errors.pop()
        queries.open_source(db, "soon", "file", {}, 1)

    journal.write_soon(add)
    await eventually(lambda: not errors)
    assert await keys_after_a_restart(journal) == {"soon"}


async def test_a_change_that_fails_and_that_nobody_waits_for_is_reported(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.write_soon(lambda db: db.execute("no SQL"))
    await add_source(journal, "after")
    assert "has lost a change" in caplog.text


WRITES = 5
PROGRAM = f"""
import asyncio, sys
from pathlib import Path
from tracetail.agent.journal.database import Journal
journal = Journal(Path(sys.argv[1]))
journal.open()
async def write():
    for number in range({WRITES}):
        for durable in (True, False):
            await journal.write(
                lambda db: db.execute("UPDATE sources SET lines = lines + 1 WHERE key = 'a'"), durable=durable
            )
asyncio.run(write())
import os
os._exit(0)  # closing would write all of it
"""


@pytest.mark.needs("strace")
async def test_only_what_must_outlive_the_machine_waits_for_the_disk(journal: Journal, tmp_path: Path) -> None:
    await add_source(journal, "a")
    journal.close()
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
    program = [sys.executable, "-c", PROGRAM, str(journal.path)]
    await (await asyncio.create_subprocess_exec(*command, *program)).wait()
    syncs = len(re.findall(r"\bf(?:data)?sync\(", trace.read_text()))
    # The first one of a new WAL file syncs its header, and its directory, too.
    assert WRITES <= syncs <= WRITES + 2
    again = Journal(journal.path)
    again.open()
    [row] = await again.write(lambda db: db.execute("SELECT lines FROM sources").fetchall())
    again.close()
    assert row["lines"] == 2 * WRITES
