"""Delivers batches: Loki stores each entry exactly once, or the journal keeps it with the reason for its refusal.

    1. the batch is written to the journal: exact bodies (intents), byte range, what its acknowledgement changes
    2. each body is pushed until Loki answers 204, or names what it refuses
    3. with the last body the position advances and the batch is deleted, in one transaction

At most one body of a stream is in flight. After a crash, what is left of a batch is first looked up in Loki: it may
have been stored just before.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TypeVar

from tracetail.agent.journal import queries
from tracetail.agent.journal.database import Journal, JournalFullError
from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.model import Batch, Intent, Outcome
from tracetail.agent.shipping.in_flight import Share
from tracetail.agent.shipping.rate_limit import RateLimit
from tracetail.contract.backoff import SETTINGS_SECONDS, Backoff
from tracetail.loki import answers, original_time
from tracetail.loki.answers import PushAnswer, Verdict
from tracetail.loki.client import LokiClient, LokiError, LokiUnavailableError
from tracetail.loki.entries import Entry, decode_request
from tracetail.loki.logql import selector
from tracetail.loki.push import rows_from, single_body

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_LOOKUPS_MAX = 5
_REFUSED_BEFORE_SPLIT = 5
"""If a 429 does not name the limit, a request is split after this number of refusals."""
_SPLIT_MIN_BYTES = 64 << 10
_LOG_AGAIN_AFTER_SECONDS = 60.0


class Delivery:
    """Delivers batches through the journal to Loki."""

    def __init__(
        self,
        journal: Journal,
        loki: LokiClient,
        metrics: Metrics,
        *,
        rate_limit: RateLimit | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._journal = journal
        self._loki = loki
        self._metrics = metrics
        self._rate_limit = rate_limit or RateLimit(0)
        self._sleep = sleep
        self._clock_ns = clock_ns
        self._logged: dict[str, float] = {}
        self.last_error = ""
        """Why nothing is delivered at the moment; empty if it is."""

    async def deliver(self, batch: Batch, share: Share) -> Outcome:
        """Deliver a batch; return when every entry is acknowledged or stored as rejected.

        share: the bytes reserved for it; resized to the size of its bodies.
        """
        share.resize(sum(len(body.data) for body in batch.bodies))
        first, file_id = await self._write(lambda db: queries.insert_batch(db, batch))
        if batch.file is not None:
            batch.file.id = file_id
        batch.bodies.clear()  # only the body in flight is kept in memory; the journal has the others
        return await self._deliver_intents(first.batch_id, share, first)

    async def settle(self, batches: list[int]) -> None:
        """Deliver what is left of these batches after a crash or an end of the agent."""
        for batch_id in batches:
            await self._deliver_intents(batch_id, None)

    async def _deliver_intents(self, batch_id: int, share: Share | None, first: Intent | None = None) -> Outcome:
        """Deliver a batch's intents one after another.

        share: None for a batch of an earlier process, which is looked up in Loki first. first: the intent to begin
        with, if it is in memory.
        """
        outcome = Outcome()
        complete = False
        while not complete:
            intent = first if first is not None else await self._write(lambda db: queries.next_intent(db, batch_id))
            first = None
            if share is None:
                missing, complete = await self._remove_stored(intent)
                if missing is None:
                    continue
                intent = missing
            complete = await self._deliver_intent(intent, outcome, share)
            outcome.last_ns = max(outcome.last_ns, intent.last_ns)
            intent.body = b""  # not kept in memory while the next one is in flight
        return outcome

    async def _deliver_intent(self, intent: Intent, outcome: Outcome, share: Share | None) -> bool:
        """Push until the result of every entry is known and in the journal; return whether the batch is complete.

        If it returns False the intent may be replaced by others.
        """
        backoff = Backoff()
        refusals = 0
        while True:
            answer = await self._push(intent)
            if answer is None:
                await self._pause(intent, backoff.wait())
                continue
            match answers.verdict(answer, one_entry=intent.entries == 1):
                case Verdict.DELIVERED:
                    self.last_error = ""
                    self._metrics.delivered(intent.entries, len(intent.body))
                    return await self._write(lambda db: queries.acknowledge(db, intent))
                case Verdict.SOME_REFUSED:
                    return await self._handle_refusal(intent, answer, outcome)
                case Verdict.ALL_REFUSED:
                    reason = answer.text or f"Loki answered {answer.status}"
                    return await self._reject(intent, dict.fromkeys(_times(intent.body), reason), outcome)
                case Verdict.TOO_MUCH:
                    self._report(f"Loki accepts less than it is sent ({answer.status}): {answer.text[:300]}")
                    self._metrics.retried(str(answer.status))
                    refusals += 1
                    with share.lent() if share and answers.is_stream_limit(answer) else contextlib.nullcontext():
                        if self._should_split(intent, answer, refusals):
                            await self._split(intent)
                            await self._sleep(backoff.wait(answer.retry_after))
                            return False
                        await self._pause(intent, backoff.wait(answer.retry_after))
                case Verdict.SETTINGS:
                    setting = answers.setting_for(answer.status)
                    url = self._loki.settings.url
                    self._report(f"Loki answers {answer.status} at {url}: look at {setting}; {answer.text[:300]}")
                    self._metrics.retried(str(answer.status))
                    await self._pause(intent, backoff.wait(max(SETTINGS_SECONDS, answer.retry_after)))
                case Verdict.TRY_AGAIN:
                    self._report(f"Loki answers {answer.status}: {answer.text[:300]}")
                    self._metrics.retried(str(answer.status))
                    await self._pause(intent, backoff.wait(answer.retry_after))

    async def _push(self, intent: Intent) -> PushAnswer | None:
        """Push a body once; return None if Loki cannot be reached, so that the result is unknown."""
        if wait := self._rate_limit.wait(len(intent.body)):
            await self._pause(intent, wait)
        begun = time.monotonic()
        try:
            answer = await self._loki.push(intent.body)
        except LokiUnavailableError as error:
            self._metrics.pushed("unreachable", time.monotonic() - begun)
            self._report(str(error))
            self._metrics.retried("unreachable")
            return None
        self._metrics.pushed(str(answer.status), time.monotonic() - begun)
        return answer

    async def _pause(self, intent: Intent, seconds: float) -> None:
        """Wait before the next attempt, without the body in memory: the journal has it."""
        intent.body = b""
        await self._sleep(seconds)
        intent.body = await self._write(lambda db: queries.intent_body(db, intent.id))

    def _should_split(self, intent: Intent, answer: PushAnswer, refusals: int) -> bool:
        """Return whether the request exceeds a limit that it can never pass as a whole."""
        if intent.entries < 2:
            return False
        if answer.status == 413:
            return True
        limit = answers.rate_limit(answer.text)
        if limit is None:
            return refusals >= _REFUSED_BEFORE_SPLIT and len(intent.body) > _SPLIT_MIN_BYTES
        return limit.request > limit.limit

    async def _split(self, intent: Intent) -> None:
        """Replace an intent by two halves with unchanged timestamps: Loki recognises entries that it has stored."""
        _, entries = decode_request(intent.body)
        half = len(entries) // 2
        bodies = [
            single_body(intent.labels, entries[:half], intent.rows),
            single_body(intent.labels, entries[half:], rows_from(intent.rows, half)),
        ]
        await self._write(lambda db: queries.replace_intent(db, intent, bodies))

    async def _handle_refusal(self, intent: Intent, answer: PushAnswer, outcome: Outcome) -> bool:
        """Determine which entries a 400 refers to; Loki has the others. Return whether the batch is complete."""
        self.last_error = ""  # Loki is reached, and accepts valid entries
        refused = answers.listed_refusals(answer.text)
        if refused is None or not refused.keys() <= set(_times(intent.body)):
            if intent.entries > 1:
                await self._split(intent)
                return False
            refused = dict.fromkeys(_times(intent.body), answer.text)
        for_their_time = {ns for ns, reason in refused.items() if answers.is_time_refusal(reason)}
        if for_their_time and not intent.retimed:
            await self._retime(intent, for_their_time, refused, outcome)
            return False
        return await self._reject(intent, refused, outcome)

    async def _retime(self, intent: Intent, times: set[int], refused: Mapping[int, str], outcome: Outcome) -> None:
        """Give entries that were refused for their time the current time; the journal has that before they are sent.

        times: of these entries. refused: reasons of all refused entries, by time.
        """
        _, entries = decode_request(intent.body)
        accepted = [entry.time_ns for entry in entries if entry.time_ns not in refused]
        time_ns = max(self._clock_ns(), max(accepted, default=0) + 1, outcome.last_ns + 1)
        retimed = []
        for entry in entries:
            if entry.time_ns in times:
                text, meta = entry.text, b""
                if not original_time.has_original_time(entry):
                    structured = self._loki.settings.structured_metadata
                    text, meta = original_time.with_original_time(text, entry.time_ns, structured_metadata=structured)
                retimed.append(Entry(time_ns, text, entry.meta + meta))
                time_ns += 1
        rejected = _with_lines(intent, entries, refused.keys() - times)
        bodies = [single_body(intent.labels, retimed)]
        await self._write(lambda db: queries.reject_entries(db, intent, rejected, refused, bodies))
        self._metrics.delivered(intent.entries - len(refused), len(intent.body))
        self._count_rejected([entry for _, entry in rejected], refused, outcome)
        self._metrics.retimed(len(retimed))

    async def _reject(self, intent: Intent, refused: Mapping[int, str], outcome: Outcome) -> bool:
        """Store refused entries, by time with the reason, in the journal; return whether the batch is complete."""
        self.last_error = ""
        _, entries = decode_request(intent.body)
        rejected = _with_lines(intent, entries, refused.keys())
        complete = await self._write(lambda db: queries.reject_entries(db, intent, rejected, refused, []))
        self._metrics.delivered(intent.entries - len(rejected), len(intent.body))
        self._count_rejected([entry for _, entry in rejected], refused, outcome)
        reason = next(iter(refused.values()))
        log.warning("Loki refused %d lines of %s: %s", len(rejected), selector(intent.labels), reason[:300])
        return complete

    def _count_rejected(self, rejected: Sequence[Entry], reasons: Mapping[int, str], outcome: Outcome) -> None:
        outcome.rejected += len(rejected)
        for entry in rejected:
            self._metrics.rejected(1, answers.refusal_kind(reasons[entry.time_ns]))

    async def _remove_stored(self, intent: Intent) -> tuple[Intent | None, bool]:
        """Look up which entries of an intent Loki has stored, and remove them from it.

        Returns:
            the intent with the missing entries, or None if it was acknowledged because none is missing; whether the
            batch is complete.

        """
        backoff = Backoff()
        lookups = 0
        while True:
            try:
                found = await self._loki.all_entries(selector(intent.labels), intent.first_ns, intent.last_ns + 1)
                break
            except LokiError as error:
                if error.status is None:
                    self._report(str(error))
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
            return None, await self._write(lambda db: queries.acknowledge(db, intent))
        bodies = [single_body(intent.labels, missing)]
        [replaced] = await self._write(lambda db: queries.replace_intent(db, intent, bodies))
        return replaced, False

    async def _write(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        """Write to the journal; while its disk is full, wait and try again."""
        backoff = Backoff()
        while True:
            try:
                return await self._journal.write(change)
            except JournalFullError as error:
                self._report(str(error))
                await self._sleep(backoff.wait(1.0))

    def _report(self, message: str) -> None:
        """Keep as `last_error` what prevents the delivery, and log it, but the same message at most once a minute."""
        self.last_error = message
        now = time.monotonic()
        key = message[:60]
        if now - self._logged.get(key, -_LOG_AGAIN_AFTER_SECONDS) >= _LOG_AGAIN_AFTER_SECONDS:
            self._logged[key] = now
            log.error("%s", message)


def _with_lines(intent: Intent, entries: list[Entry], times: AbstractSet[int]) -> list[tuple[int | None, Entry]]:
    """Return the entries at these times, each with the index of its line in the batch, if it is known."""
    return [
        (rows[0][1] if (rows := rows_from(intent.rows, index)) else None, entry)
        for index, entry in enumerate(entries)
        if entry.time_ns in times
    ]


def _times(body: bytes) -> list[int]:
    return [entry.time_ns for entry in decode_request(body)[1]]
