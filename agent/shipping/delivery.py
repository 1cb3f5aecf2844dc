"""Delivers batches: each entry is stored by Loki exactly once, or kept in the journal with the reason why not.

    1. the batch is written to the journal: exact bodies (intents), byte range, what its acknowledgement changes
    2. each body is pushed until Loki says 204, or says what it does not want
    3. with the last body the position advances and the batch is forgotten, in one transaction

At most one body of a stream is under way. After a crash, what is left of a batch is first looked up in Loki: it may
have been stored just before.
"""

import asyncio
import contextlib
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from tracetail.agent.journal.database import Journal, JournalFullError
from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.reading.reader import FileRow, Fingerprint
from tracetail.agent.shipping.in_flight import Share
from tracetail.agent.shipping.rate_limit import RateCap
from tracetail.contract.backoff import SLOW_SECONDS, Backoff
from tracetail.loki import answers, original_time
from tracetail.loki.answers import PushAnswer, Verdict
from tracetail.loki.client import LokiClient, LokiError, LokiUnavailableError
from tracetail.loki.entries import Entry, decode_request
from tracetail.loki.logql import selector
from tracetail.loki.push import Body, Rows, rows_from, single_body

log = logging.getLogger(__name__)

_LOOKUPS_MAX = 5
_REFUSED_BEFORE_SPLIT = 5
"""Where a 429 does not say what the limit is, a request that was refused so often is tried in halves."""
_SPLIT_LEAST_BYTES = 64 << 10
_SAY_AGAIN_AFTER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Batch:
    """A range of a file on its way, and what changes once all of it is acknowledged."""

    source_id: int
    file: FileRow | None
    start: int
    end: int
    fingerprint: Fingerprint
    """By what the file is known again once the position is at `end`."""
    lines: int
    """None in what the agent itself has to say."""
    redacted: int
    state: Mapping[str, Any]
    """The parser's, after the last line."""
    bodies: list[Body]
    completes: bool = False
    """With its acknowledgement nothing of the source is left."""


@dataclass(slots=True)
class Intent:
    """A body that is in the journal and not acknowledged yet."""

    id: int
    batch_id: int
    labels: Mapping[str, str]
    body: bytes
    first_ns: int
    last_ns: int
    entries: int
    rows: Rows
    retimed: bool

    @classmethod
    def of_row(cls, row: sqlite3.Row) -> "Intent":
        """Return the intent that a row of the journal holds."""
        return cls(
            row["id"],
            row["batch_id"],
            json.loads(row["labels"]),
            row["body"],
            row["first_ns"],
            row["last_ns"],
            row["entries"],
            json.loads(row["rows"]),
            bool(row["retimed"]),
        )


@dataclass(slots=True)
class Outcome:
    """How the delivery of a batch ended."""

    rejected: int = 0
    last_ns: int = 0
    """The newest time under which an entry was sent: later than the batch's own if one was sent again later."""


class Delivery:
    """Takes batches to Loki by way of the journal."""

    def __init__(
        self,
        journal: Journal,
        loki: LokiClient,
        metrics: Metrics,
        *,
        rate_cap: RateCap | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = journal
        self._loki = loki
        self._metrics = metrics
        self._rate_cap = rate_cap or RateCap(0)
        self._sleep = sleep
        self._clock_ns = clock_ns
        self._said: dict[str, float] = {}
        self.last_error = ""
        """Why nothing is delivered at the moment; empty if it is."""

    async def deliver(self, batch: Batch, share: Share) -> Outcome:
        """Deliver a batch; return when every entry is acknowledged or among the rejected.

        share: what is set aside for it.
        """
        share.resize(sum(len(body.data) for body in batch.bodies))
        first, file_id = await self._write(lambda db: _insert_batch(db, batch))
        if batch.file is not None:
            batch.file.id = file_id
        batch.bodies.clear()  # the journal has them: only that which is under way is held
        return await self._finish(first.batch_id, share, first)

    async def settle(self, batches: list[int]) -> None:
        """Deliver what a crash or an ending left of these batches."""
        for batch_id in batches:
            await self._finish(batch_id, None)

    async def _finish(self, batch_id: int, share: Share | None, first: Intent | None = None) -> Outcome:
        """share: None for what was left behind, which is looked up first. first: the intent to begin with."""
        outcome = Outcome()
        # Whether it is done is told by what is done: its number may be that of another batch at once.
        done = False
        while not done:
            intent: Intent = first or await self._write(lambda db: _next_intent(db, batch_id))
            first = None
            if share is None:
                missing, done = await self._without_what_is_stored(intent)
                if missing is None:
                    continue
                intent = missing
            done = await self._resolve(intent, outcome, share)
            outcome.last_ns = max(outcome.last_ns, intent.last_ns)
            intent.body = b""  # it is not held while the next one is under way
        return outcome

    async def _resolve(self, intent: Intent, outcome: Outcome, share: Share | None) -> bool:
        """Push until it is known of every entry what became of it, and write that down; say if the batch is done."""
        backoff = Backoff()
        refused = 0
        while True:
            if wait := self._rate_cap.wait(len(intent.body)):
                await self._pause(intent, wait)
            begun = time.monotonic()
            try:
                answer = await self._loki.push(intent.body)
            except LokiUnavailableError as error:
                self._metrics.pushed("unreachable", time.monotonic() - begun)
                self._say(str(error))
                self._metrics.retried("unreachable")
                await self._pause(intent, backoff.wait())
                continue
            self._metrics.pushed(str(answer.status), time.monotonic() - begun)
            match answers.verdict(answer, one_entry=intent.entries == 1):
                case Verdict.DELIVERED:
                    self._delivered(intent)
                    return bool(await self._write(lambda db: _acknowledge(db, intent)))
                case Verdict.SOME_REFUSED:
                    return await self._settle_refusal(intent, answer, outcome)
                case Verdict.ALL_REFUSED:
                    reason = answer.text or f"Loki answered {answer.status}"
                    return await self._reject(intent, dict.fromkeys(_times(intent.body), reason), outcome)
                case Verdict.TOO_MUCH:
                    self._say(f"Loki takes less than it is sent ({answer.status}): {answer.text[:300]}")
                    self._metrics.retried(str(answer.status))
                    refused += 1
                    with share.lent() if share and answers.is_stream_limit(answer) else contextlib.nullcontext():
                        if self._should_split(intent, answer, refused):
                            await self._split(intent)
                            await self._sleep(backoff.wait(answer.retry_after))
                            return False
                        await self._pause(intent, backoff.wait(answer.retry_after))
                case Verdict.SETTINGS:
                    setting = answers.setting_for(answer.status)
                    url = self._loki.settings.url
                    self._say(f"Loki answers {answer.status} at {url}: look at {setting}; {answer.text[:300]}")
                    self._metrics.retried(str(answer.status))
                    await self._pause(intent, backoff.wait(max(SLOW_SECONDS, answer.retry_after)))
                case Verdict.TRY_AGAIN:
                    self._say(f"Loki answers {answer.status}: {answer.text[:300]}")
                    self._metrics.retried(str(answer.status))
                    await self._pause(intent, backoff.wait(answer.retry_after))

    async def _pause(self, intent: Intent, seconds: float) -> None:
        """Wait before the next attempt, without the body in memory: the journal has it."""
        intent.body = b""
        await self._sleep(seconds)
        intent.body = await self._write(
            lambda db: db.execute("SELECT body FROM intents WHERE id = ?", (intent.id,)).fetchone()[0]
        )

    def _delivered(self, intent: Intent) -> None:
        self.last_error = ""
        self._metrics.delivered(intent.entries, len(intent.body))

    def _should_split(self, intent: Intent, answer: PushAnswer, refused: int) -> bool:
        """A request that is larger than what the limit lets through at once will never pass."""
        if intent.entries < 2:
            return False
        if answer.status == 413:
            return True
        limit = answers.rate_limit(answer.text)
        if limit is None:
            return refused >= _REFUSED_BEFORE_SPLIT and len(intent.body) > _SPLIT_LEAST_BYTES
        return limit.request > limit.limit

    async def _split(self, intent: Intent) -> None:
        _, entries = decode_request(intent.body)
        half = len(entries) // 2
        bodies = [
            single_body(intent.labels, entries[:half], intent.rows),
            single_body(intent.labels, entries[half:], rows_from(intent.rows, half)),
        ]
        await self._write(lambda db: _replace(db, intent, bodies, retimed=intent.retimed))

    async def _settle_refusal(self, intent: Intent, answer: PushAnswer, outcome: Outcome) -> bool:
        """Find out which entries a 400 is about. The others are stored. Say if the batch is done."""
        self.last_error = ""  # it is reached, and takes what is good
        refused = answers.listed_refusals(answer.text)
        if refused is None or not refused.keys() <= set(_times(intent.body)):
            if intent.entries == 1:
                refused = dict.fromkeys(_times(intent.body), answer.text)
            else:
                # Halves, with unchanged times: what is stored already, Loki recognises.
                await self._split(intent)
                return False
        for_their_time = {ns for ns, reason in refused.items() if answers.is_time_refusal(reason)}
        if for_their_time and not intent.retimed:
            await self._retime(intent, for_their_time, refused, outcome)
            return False
        return await self._reject(intent, refused, outcome)

    async def _retime(self, intent: Intent, wanted: set[int], refused: Mapping[int, str], outcome: Outcome) -> None:
        """Send entries that were refused for their time again, as of now; the decision goes to the journal first."""
        _, entries = decode_request(intent.body)
        accepted = [entry.time_ns for entry in entries if entry.time_ns not in refused]
        time_ns = max(self._clock_ns(), max(accepted, default=0) + 1, outcome.last_ns + 1)
        again = []
        for entry in entries:
            if entry.time_ns in wanted:
                text, meta = entry.text, b""
                if not original_time.has_original_time(entry):
                    structured = self._loki.settings.structured_metadata
                    text, meta = original_time.with_original_time(text, entry.time_ns, structured_metadata=structured)
                again.append(Entry(time_ns, text, entry.meta + meta))
                time_ns += 1
        rejected = _chosen(intent, entries, refused.keys() - wanted)
        bodies = [single_body(intent.labels, again)]
        await self._write(lambda db: _reject_and_replace(db, intent, rejected, refused, bodies))
        self._metrics.delivered(intent.entries - len(refused), len(intent.body))
        self._count_rejected([entry for _, entry in rejected], refused, outcome)
        self._metrics.retimed(len(again))

    async def _reject(self, intent: Intent, refused: Mapping[int, str], outcome: Outcome) -> bool:
        self.last_error = ""
        _, entries = decode_request(intent.body)
        rejected = _chosen(intent, entries, refused.keys())
        done: bool = await self._write(lambda db: _reject_and_replace(db, intent, rejected, refused, []))
        self._metrics.delivered(intent.entries - len(rejected), len(intent.body))
        self._count_rejected([entry for _, entry in rejected], refused, outcome)
        reason = next(iter(refused.values()))
        log.warning("Loki refused %d lines of %s: %s", len(rejected), selector(intent.labels), reason[:300])
        return done

    def _count_rejected(self, rejected: Sequence[Entry], reasons: Mapping[int, str], outcome: Outcome) -> None:
        outcome.rejected += len(rejected)
        for entry in rejected:
            self._metrics.rejected(1, answers.refusal_kind(reasons[entry.time_ns]))

    async def _without_what_is_stored(self, intent: Intent) -> tuple[Intent | None, bool]:
        """Return the intent less what Loki already has; None, and acknowledged, if it has all of it.

        And whether the batch is done with that.
        """
        backoff = Backoff()
        lookups = 0
        while True:
            try:
                found = await self._loki.all_entries(selector(intent.labels), intent.first_ns, intent.last_ns + 1)
                break
            except LokiError as error:
                if error.status is None:
                    self._say(str(error))
                else:
                    lookups += 1
                    if error.status in (401, 403, 404, 405) or lookups >= _LOOKUPS_MAX:
                        log.warning("cannot look up what was stored before the restart, sending it again: %s", error)
                        return intent, False
            await self._sleep(backoff.wait())
        stored = {entry.time_ns for entry in found}
        _, entries = decode_request(intent.body)
        missing = [entry for entry in entries if entry.time_ns not in stored]
        self._metrics.looked_up(len(entries) - len(missing))
        if len(missing) == len(entries):
            return intent, False
        if not missing:
            return None, await self._write(lambda db: _acknowledge(db, intent))
        bodies = [single_body(intent.labels, missing)]
        replaced: list[Intent] = await self._write(lambda db: _replace(db, intent, bodies, retimed=intent.retimed))
        return replaced[0], False

    async def _write(self, change: Callable[[sqlite3.Connection], Any]) -> Any:
        """Write to the journal; wait for room on a full disk."""
        backoff = Backoff()
        while True:
            try:
                return await self._journal.write(change)
            except JournalFullError as error:
                self._say(str(error))
                await self._sleep(backoff.wait(1.0))

    def _say(self, message: str) -> None:
        """Log what hinders delivery, but the same thing at most once a minute."""
        self.last_error = message
        now = time.monotonic()
        key = message[:60]
        if now - self._said.get(key, -_SAY_AGAIN_AFTER_SECONDS) >= _SAY_AGAIN_AFTER_SECONDS:
            self._said[key] = now
            log.error("%s", message)


def _chosen(intent: Intent, entries: list[Entry], times: AbstractSet[int]) -> list[tuple[int | None, Entry]]:
    """Return the entries at these times, each with the line of the batch that it is, where that is known."""
    return [
        (rows[0][1] if (rows := rows_from(intent.rows, index)) else None, entry)
        for index, entry in enumerate(entries)
        if entry.time_ns in times
    ]


def _times(body: bytes) -> list[int]:
    return [entry.time_ns for entry in decode_request(body)[1]]


def _insert_batch(db: sqlite3.Connection, batch: Batch) -> tuple[Intent, int]:
    """Write a batch, and its file if the journal does not know it; return its first intent and the file's id."""
    file_id = 0
    if batch.file is not None:
        file_id = batch.file.id or _insert_file(db, batch.source_id, batch.file)
    batch_id = db.execute(
        "INSERT INTO batches (source_id, file_id, start, end, head, tail, lines, entries, redacted, completes, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            batch.source_id,
            file_id or None,
            batch.start,
            batch.end,
            batch.fingerprint.head,
            batch.fingerprint.tail,
            batch.lines,
            sum(body.entries for body in batch.bodies) if batch.lines else 0,
            batch.redacted,
            batch.completes,
            json.dumps(batch.state),
        ),
    ).lastrowid
    assert batch_id is not None
    db.execute("UPDATE files SET size = max(size, ?) WHERE id = ?", (batch.fingerprint.size, file_id))
    intents = [_insert_intent(db, batch_id, body, retimed=False) for body in batch.bodies]
    return min(intents, key=lambda intent: (intent.first_ns, intent.id)), file_id


def _insert_file(db: sqlite3.Connection, source_id: int, row: FileRow) -> int:
    file_id = db.execute(
        "INSERT INTO files (source_id, path, device, inode, position, head, tail, size, seen_ns)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (source_id, row.path, row.device, row.inode, row.position, row.head, row.tail, row.size, row.seen_ns),
    ).lastrowid
    assert file_id is not None
    return file_id


def _insert_intent(db: sqlite3.Connection, batch_id: int, body: Body, *, retimed: bool) -> Intent:
    intent_id = db.execute(
        "INSERT INTO intents (batch_id, labels, body, first_ns, last_ns, entries, rows, retimed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            batch_id,
            json.dumps(body.labels),
            body.data,
            body.first_ns,
            body.last_ns,
            body.entries,
            json.dumps(body.rows),
            retimed,
        ),
    ).lastrowid
    assert intent_id is not None
    return Intent(
        intent_id,
        batch_id,
        body.labels,
        body.data,
        body.first_ns,
        body.last_ns,
        body.entries,
        body.rows,
        retimed,
    )


def _next_intent(db: sqlite3.Connection, batch_id: int) -> Intent:
    """Return the oldest intent of a batch, which has one for as long as it is there."""
    row = db.execute("SELECT * FROM intents WHERE batch_id = ? ORDER BY first_ns, id LIMIT 1", (batch_id,)).fetchone()
    return Intent.of_row(row)


def _acknowledge(db: sqlite3.Connection, intent: Intent) -> bool:
    """Forget an intent; with the last one of its batch the position advances. Say if that was the last one."""
    db.execute("DELETE FROM intents WHERE id = ?", (intent.id,))
    if db.execute("SELECT 1 FROM intents WHERE batch_id = ? LIMIT 1", (intent.batch_id,)).fetchone():
        return False
    batch = db.execute("SELECT * FROM batches WHERE id = ?", (intent.batch_id,)).fetchone()
    db.execute(
        "UPDATE files SET position = ?, head = ?, tail = ? WHERE id = ?",
        (batch["end"], batch["head"], batch["tail"], batch["file_id"]),
    )
    db.execute(
        "UPDATE sources SET state = ?, lines = lines + ?, bytes = bytes + ?, entries = entries + ?,"
        " redacted = redacted + ?, complete = max(complete, ?) WHERE id = ?",
        (
            batch["state"],
            batch["lines"],
            batch["end"] - batch["start"],
            batch["entries"],
            batch["redacted"],
            batch["completes"],
            batch["source_id"],
        ),
    )
    db.execute("DELETE FROM batches WHERE id = ?", (intent.batch_id,))
    return True


def _replace(db: sqlite3.Connection, intent: Intent, bodies: list[Body], *, retimed: bool) -> list[Intent]:
    intents = [_insert_intent(db, intent.batch_id, body, retimed=retimed) for body in bodies]
    db.execute("DELETE FROM intents WHERE id = ?", (intent.id,))
    return intents


def _reject_and_replace(
    db: sqlite3.Connection,
    intent: Intent,
    rejected: list[tuple[int | None, Entry]],
    reasons: Mapping[int, str],
    bodies: list[Body],
) -> bool:
    batch = db.execute(
        "SELECT batches.*, files.path FROM batches LEFT JOIN files ON files.id = file_id WHERE batches.id = ?",
        (intent.batch_id,),
    ).fetchone()
    now = time.time()
    offsets = _offsets(batch)
    for index, entry in rejected:
        db.execute(
            "INSERT INTO rejected"
            " (source_id, path, start, end, offset, labels, time_ns, line, meta, reason, rejected_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                batch["source_id"],
                batch["path"],
                batch["start"],
                batch["end"],
                offsets[index] if index is not None and index < len(offsets) else None,
                json.dumps(intent.labels),
                entry.time_ns,
                entry.text,
                entry.meta,
                reasons[entry.time_ns],
                now,
            ),
        )
    db.execute(
        "UPDATE sources SET rejected = rejected + ?, entries = entries - ? WHERE id = ?",
        (len(rejected), len(rejected), batch["source_id"]),
    )
    for body in bodies:
        _insert_intent(db, intent.batch_id, body, retimed=True)
        # After a restart, too, the next lines of the stream come after what was sent again later.
        db.execute(
            "UPDATE batches SET state = json_set(state, '$.last_ns', max(?, json_extract(state, '$.last_ns')))"
            " WHERE id = ?",
            (body.last_ns, intent.batch_id),
        )
    return _acknowledge(db, intent)


def _offsets(batch: sqlite3.Row) -> list[int]:
    """Return where in its file each line of a batch begins; nothing if that cannot be told any more."""
    if batch["path"] is None or batch["lines"] != batch["entries"]:
        return []
    try:
        with open(batch["path"], "rb") as file:  # noqa: PTH123  (one call for a path from the journal)
            file.seek(batch["start"])
            data = file.read(batch["end"] - batch["start"])
    except OSError:
        return []
    if not data.endswith(batch["tail"][-len(data) :]):
        return []
    offsets = []
    at = batch["start"]
    for line in data.split(b"\n"):
        offsets.append(at)
        at += len(line) + 1
    return offsets
