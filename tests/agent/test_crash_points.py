"""A crash at any step of a delivery: before or after any write to the journal, before or after Loki stores a body.

The whole path runs in this process, with a real file and a real journal; only Loki is a dictionary, and a crash is an
exception that nothing catches, after which all objects are created again.
"""

import asyncio
import itertools
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.database import opened

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.journal.database import Journal
from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.pipeline import Pipeline
from tracetail.agent.reading import reader
from tracetail.agent.reading.file_source import FileSource
from tracetail.agent.reading.open_files import OpenFiles
from tracetail.agent.resume import Resumer
from tracetail.agent.shipping.delivery import Delivery
from tracetail.agent.shipping.in_flight import ReadSlots
from tracetail.contract.redaction import Redactor
from tracetail.loki.answers import PushAnswer
from tracetail.loki.client import StoredEntry
from tracetail.loki.entries import decode_metadata, decode_request
from tracetail.loki.settings import LokiSettings

T = TypeVar("T")
NOW = 1_795_353_130_000_000_000
SECOND = 1_000_000_000


class CrashError(BaseException):
    """The process is killed."""


class Steps:
    """Counts steps, and raises CrashError at some of them."""

    def __init__(self, crashes: set[int]) -> None:
        self._crashes = crashes
        self.done = 0

    def step(self) -> None:
        self.done += 1
        if self.done in self._crashes:
            raise CrashError


class Store:
    """Behaves as Loki: stores valid entries, and refuses the others, with a reason or without one."""

    def __init__(self, steps: Steps) -> None:
        self.settings = LokiSettings(url="http://loki")
        self.entries_by_time: dict[int, tuple[str, dict[str, str]]] = {}
        self.bodies: list[list[tuple[int, bytes]]] = []
        self._steps = steps

    async def push(self, body: bytes) -> PushAnswer:
        self._steps.step()
        _, entries = decode_request(body)
        self.bodies.append([(entry.time_ns, entry.text) for entry in entries])
        bad = []
        for entry in entries:
            metadata = decode_metadata(entry.meta)
            line = entry.text.decode()
            if "bad" in line or ("late" in line and "original_time" not in metadata):
                bad.append(line)
            else:
                known = self.entries_by_time.setdefault(entry.time_ns, (line, metadata))
                assert known == (line, metadata), "two entries of one time"
        self._steps.step()
        if not bad:
            return PushAnswer(204, "", 0.0)
        is_late = len(entries) == 1 and "late" in bad[0]
        return PushAnswer(400, "entry has timestamp too old: x" if is_late else "some rule", 0.0)

    async def all_entries(self, query: str, start_ns: int, end_ns: int) -> list[StoredEntry]:
        self._steps.step()
        return [
            StoredEntry(time_ns, line, metadata)
            for time_ns, (line, metadata) in sorted(self.entries_by_time.items())
            if start_ns <= time_ns < end_ns
        ]


class CrashingJournal(Journal):
    """Crashes at a step; with the machine, too, if it loses power: then only what was synced is left."""

    def __init__(self, path: Path, steps: Steps, *, loses_power: bool) -> None:
        super().__init__(path)
        self._steps = steps
        self._loses_power = loses_power
        self._synced: dict[Path, bytes] = {}
        self.killed = False
        """What has waited for another change is gone."""

    async def write(self, change: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        self._steps.step()
        done = await super().write(change, durable=durable)
        if durable and self._loses_power:
            files = [self.path, self.path.with_name(f"{self.path.name}-wal")]
            self._synced = {file: file.read_bytes() for file in files if file.exists()}
        self._steps.step()
        return done

    def write_soon(self, change: Callable[[sqlite3.Connection], Any]) -> None:
        self._steps.step()
        super().write_soon(lambda db: None if self.killed else change(db))
        self._steps.step()

    def lose(self) -> None:
        """Leave on disk what was synced, after the machine lost power."""
        for file, content in self._synced.items():
            file.write_bytes(content)


lines = st.lists(
    st.sampled_from(
        [
            "INFO 11-22 13:12:10 [a.py:1] good",
            "no time at all",
            "bad",
            "late",
            "api_key='geheim'",
            "Traceback (most recent call last):",
            "  indented",
        ]
    ),
    min_size=1,
    max_size=12,
)


async def ship_all(
    path: Path, store: Store, steps: Steps, clock: Callable[[], int], batch_bytes: int, *, loses_power: bool
) -> dict[str, Any]:
    """Ship a file, with new objects after each crash, until it is shipped without a crash."""
    journal_path = path.with_suffix(".db")
    while True:
        journal = CrashingJournal(journal_path, steps, loses_power=loses_power)
        crashed = False
        journal.open()
        followed = FollowedLog(FileSource(path, {"job": "x"}, OpenFiles()))
        try:
            metrics = Metrics()
            slots = ReadSlots()
            delivery = Delivery(journal, store, metrics, sleep=slots.sleep, clock_ns=clock)  # type: ignore[arg-type]
            resumer = Resumer(journal, zone=ZoneInfo("UTC"), clock_ns=clock)
            pipeline = Pipeline(
                resumer, delivery, Redactor(), metrics, slots, body_max_bytes=batch_bytes, clock_ns=clock
            )
            await pipeline.ship(followed)
        except CrashError:
            crashed = journal.killed = True
        else:
            return {"lines": followed.lines, "bytes": followed.bytes, "rejected": followed.rejected}
        finally:
            followed.source.close()
            await asyncio.to_thread(journal.close)
            if crashed:
                journal.lose()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines,
    st.sets(st.integers(1, 60), max_size=6),
    st.sampled_from([16, 120, 1 << 20]),
    st.sampled_from([40, 100, 1 << 20]),
    st.booleans(),
)
def test_after_a_crash_at_any_step_each_line_is_stored_once_with_its_first_timestamp(
    monkeypatch: pytest.MonkeyPatch,
    texts: list[str],
    crashes: set[int],
    batch_bytes: int,
    block_bytes: int,
    loses_power: bool,
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", block_bytes)
    numbered = [f"{text} {number}" for number, text in enumerate(texts)]
    ticks = itertools.count()

    def clock() -> int:
        return NOW + next(ticks) * SECOND  # a line that was parsed once more would get another time

    steps = Steps(crashes)
    store = Store(steps)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "app.log"
        path.write_text("".join(line + "\n" for line in numbered))
        counted = asyncio.run(ship_all(path, store, steps, clock, batch_bytes, loses_power=loses_power))
        with opened(path.with_suffix(".db")) as db:
            rejected = [row[0].decode() for row in db.execute("SELECT line FROM rejected")]
            left = db.execute("SELECT (SELECT count(*) FROM intents) + (SELECT count(*) FROM batches)").fetchone()[0]
            offsets = [row[0] for row in db.execute("SELECT offset FROM rejected WHERE offset IS NOT NULL")]
        size = path.stat().st_size
        data = path.read_bytes()
    shown = [line.replace("'geheim'", "'***'") for line in numbered]
    stored = [line for _, (line, _) in sorted(store.entries_by_time.items())]
    assert sorted(stored) == sorted(line for line in shown if not line.startswith("bad"))
    assert sorted(rejected) == sorted(line for line in shown if line.startswith("bad"))
    in_order = [line for line in stored if not line.startswith("late")]
    assert in_order == [line for line in shown if not line.startswith(("bad", "late"))]
    assert left == 0
    assert counted == {"lines": len(texts), "bytes": size, "rejected": len(rejected)}
    assert all(data[offset:].startswith(b"bad") for offset in offsets)
    # All bodies have the same timestamp for the same line, except for lines that got a later time.
    times: dict[bytes, set[int]] = {}
    for body in store.bodies:
        for time_ns, text in body:
            times.setdefault(text, set()).add(time_ns)
    assert all(len(seen) == 1 for text, seen in times.items() if not text.startswith(b"late"))


@pytest.mark.parametrize("crash", range(1, 12))
def test_after_a_crash_while_it_goes_on_with_a_copy_each_line_is_stored_once(tmp_path: Path, crash: int) -> None:
    # copied and truncated while the agent was down; the copy was taken for read where only the original was done
    path = tmp_path / "app.log"
    ticks = itertools.count()

    def ship(crashes: set[int], store: Store | None = None) -> Store:
        steps = Steps(crashes)
        store = store or Store(steps)
        store._steps = steps
        asyncio.run(ship_all(path, store, steps, lambda: NOW + next(ticks) * SECOND, 1 << 20, loses_power=False))
        return store

    path.write_text("one\ntwo\n")
    store = ship(set())
    (tmp_path / "app.log.1").write_text("one\ntwo\nthree\nfour\n")
    path.write_text("five\n")
    ship({crash}, store)
    ship(set(), store)  # the file at the path, after the pause in which the writer of the copy might go on
    stored = [line for _, (line, _) in sorted(store.entries_by_time.items())]
    assert stored == ["one", "two", "three", "four", "five"]
