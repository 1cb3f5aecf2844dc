"""Delivers batches to Loki, which stores each entry exactly once; else the journal keeps it with the reason.

Each body of the journal is pushed until Loki answers 204, or names what it refuses; at most one body of a stream is
in flight. Whenever it is not known what became of a body (after a crash, a time-out, a lost answer, a limit that lets
a part through), its entries are looked up, and only those that are missing are sent: Loki recognises a repeated body
only as long as it divides it between the same shards.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from tracetail.agent.journal import queries
from tracetail.agent.journal.database import Journal
from tracetail.agent.metrics.counters import Metrics
from tracetail.agent.model import Intent, Outcome
from tracetail.agent.shipping import bodies
from tracetail.agent.shipping.in_flight import Share
from tracetail.agent.shipping.journaled_delivery import JournaledDelivery
from tracetail.agent.shipping.lookup import Lookup
from tracetail.agent.shipping.rate_limit import RateLimit
from tracetail.contract.backoff import SETTINGS_SECONDS, Backoff
from tracetail.loki import answers
from tracetail.loki.answers import PushAnswer, Verdict
from tracetail.loki.client import LokiClient
from tracetail.loki.entries import Entry, decode_request, uncompressed_bytes
from tracetail.loki.errors import LokiUnavailableError
from tracetail.loki.refusals import Refusals, refusals_of

_REFUSED_BEFORE_SPLIT = 5
"""If a 429 does not name the limit, a request is split after this number of refusals."""
_SPLIT_MIN_BYTES = 64 << 10
_UNKNOWN_SECONDS = 0.5
"""Wait before entries are looked up: Loki may still be storing them."""


class Delivery(JournaledDelivery):
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
        super().__init__(journal, sleep)
        self._loki = loki
        self._metrics = metrics
        self._rate_limit = rate_limit or RateLimit(0)
        self._clock_ns = clock_ns
        self._stream_limit = 0
        """Bytes per second of one stream, once Loki has refused a push for it; a larger request may never pass."""
        self._lookup = Lookup(loki, self.health, sleep)

    async def _deliver_intent(self, intent: Intent, outcome: Outcome, share: Share | None) -> bool:
        """Push until the result of every entry is known and in the journal; return whether the batch is complete.

        If it returns False the intent may be replaced by others.
        """
        backoff = Backoff()
        refusals = 0
        unknown = share is None
        while True:
            if unknown:
                missing, complete = await self._remove_stored(intent, outcome)
                if missing is None:
                    return complete
                intent, unknown = missing, False
            if 0 < self._stream_limit < uncompressed_bytes(intent.body) and await self._split(
                intent, self._stream_limit
            ):
                return False
            answer, unknown = await self._push(intent)
            if answer is None:
                await self._pause(intent, backoff.wait(_UNKNOWN_SECONDS if unknown else 0))
                continue
            match answers.verdict(answer, one_entry=intent.entries == 1):
                case Verdict.DELIVERED:
                    self.health.delivered(intent.labels)
                    self._metrics.delivered(intent.entries, len(intent.body))
                    outcome.last_ns = max(outcome.last_ns, intent.last_ns)
                    return await self._acknowledge(intent, soon=True)
                case Verdict.SOME_REFUSED:
                    return await self._handle_refusal(intent, answer, outcome)
                case Verdict.ALL_REFUSED:
                    reason = answer.text or f"Loki answered {answer.status}"
                    return await self._reject(intent, dict.fromkeys(bodies.times(intent), reason), outcome)
                case Verdict.TOO_MUCH:
                    refusals += 1
                    seconds = self._limited(answer, len(intent.body))
                    with share.lent() if share and answers.is_stream_limit(answer) else contextlib.nullcontext():
                        if not unknown and self._should_split(intent, answer, refusals):
                            await self._split(intent)
                            await self._sleep(backoff.wait(seconds))
                            return False
                        await self._pause(intent, backoff.wait(seconds))
                case Verdict.SETTINGS:
                    setting = answers.setting_for(answer.status, answer.text)
                    url = self._loki.settings.url
                    self.health.blocked(
                        f"Loki answers {answer.status} at {url}: look at {setting}; {answer.text[:300]}"
                    )
                    self._metrics.retried(str(answer.status))
                    await self._pause(intent, backoff.wait(max(SETTINGS_SECONDS, answer.retry_after)))
                case Verdict.TRY_AGAIN:
                    self.health.blocked(f"Loki answers {answer.status}: {answer.text[:300]}")
                    self._metrics.retried(str(answer.status))
                    await self._pause(intent, backoff.wait(answer.retry_after))

    async def _push(self, intent: Intent) -> tuple[PushAnswer | None, bool]:
        """Push a body once; return the answer, if there is one, and whether entries may be stored all the same."""
        if wait := self._rate_limit.wait(len(intent.body)):
            await self._pause(intent, wait)
        begun = time.monotonic()
        try:
            answer = await self._loki.push(intent.body)
        except LokiUnavailableError as error:
            self._metrics.pushed("unreachable", time.monotonic() - begun)
            self.health.blocked(str(error))
            self._metrics.retried("unreachable")
            return None, error.sent
        self._metrics.pushed(str(answer.status), time.monotonic() - begun)
        return answer, answers.is_outcome_unknown(answer)

    def _limited(self, answer: PushAnswer, size: int) -> float:
        """Evaluate a 413 or 429; return the seconds to wait at least. size: of the body."""
        self.health.blocked(f"Loki accepts less than it is sent ({answer.status}): {answer.text[:300]}")
        self._metrics.retried(str(answer.status))
        limit = answers.rate_limit(answer.text)
        if limit is None or not limit.of_stream or not limit.limit:
            return answer.retry_after
        self._stream_limit = limit.limit
        return max(answer.retry_after, min(1.0, size / limit.limit))

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

    async def _split(self, intent: Intent, max_bytes: int = 0) -> bool:
        """Replace an intent by parts of at most max_bytes, or by two halves; return whether it had to be split."""
        parts = bodies.parts(intent, max_bytes)
        if len(parts) > 1:
            await self._write(lambda db: queries.replace_intent(db, intent, parts))
        return len(parts) > 1

    async def _handle_refusal(self, intent: Intent, answer: PushAnswer, outcome: Outcome) -> bool:
        """Determine which entries a 400 refers to; Loki has the others. Return whether the batch is complete."""
        self.health.reached()
        _, entries = decode_request(intent.body)
        found = refusals_of(answer.text, entries)
        if found is None or len(found.unknown) == len(entries):
            if await self._split(intent):
                return False
            found = Refusals({entries[0].time_ns: answer.text})
        if found.unknown:
            await self._find_unknown(intent, entries, found)
        for_their_time = {ns for ns, reason in found.reasons.items() if answers.is_time_refusal(reason)}
        again = [index for index, entry in enumerate(entries) if entry.time_ns in found.unknown]
        if again or (for_their_time and not intent.retimed):
            retimed = set() if intent.retimed else for_their_time
            await self._send_again(intent, entries, retimed, again, found.reasons, outcome)
            return False
        return await self._reject(intent, found.reasons, outcome)

    async def _find_unknown(self, intent: Intent, entries: Sequence[Entry], found: Refusals) -> None:
        """Remove what Loki has stored from the entries of unknown outcome."""
        questioned = [entry for entry in entries if entry.time_ns in found.unknown]
        missing = await self._lookup.missing(intent.labels, questioned)
        if missing is not None:
            found.unknown = {questioned[index].time_ns for index in missing}

    async def _send_again(
        self,
        intent: Intent,
        entries: Sequence[Entry],
        retimed: set[int],
        again: Sequence[int],
        reasons: Mapping[int, str],
        outcome: Outcome,
    ) -> None:
        """Replace an intent by entries with a later time and by unchanged ones before they are sent; reject the rest.

        retimed: times of the entries that get a later one. again: indexes of the unchanged entries. reasons: of all
        refused entries, by time.
        """
        unsettled = reasons.keys() | {entries[index].time_ns for index in again}
        outcome.last_ns = max(outcome.last_ns, _newest(entries, unsettled))
        replaced = [(bodies.part(intent, entries, again), intent.retimed)] if again else []
        if retimed:
            time_ns = await self._acceptable_ns(reasons, retimed)
            structured = self._loki.settings.structured_metadata
            body = bodies.retimed(intent, entries, retimed, max(time_ns, outcome.last_ns + 1), structured=structured)
            replaced.append((body, True))
        rejected = bodies.with_lines(intent, entries, reasons.keys() - retimed)
        await self._write(lambda db: queries.reject_entries(db, intent, rejected, reasons, replaced))
        self._metrics.delivered(intent.entries - len(reasons) - len(again), len(intent.body))
        self._count_rejected(intent, rejected, reasons, outcome)
        self._metrics.retimed(len(retimed))

    async def _acceptable_ns(self, reasons: Mapping[int, str], retimed: set[int]) -> int:
        """Return a time that Loki accepts now: its own, if it is the clock of this machine that is ahead."""
        now = self._clock_ns()
        if any(answers.is_too_new(reasons[time_ns]) for time_ns in retimed):
            with contextlib.suppress(LokiUnavailableError):
                clock = await self._loki.clock()
                return now if clock is None else min(now, int(clock * 1_000_000_000))
        return now

    async def _reject(self, intent: Intent, refused: Mapping[int, str], outcome: Outcome) -> bool:
        """Store refused entries, by time with the reason, in the journal; return whether the batch is complete."""
        _, entries = decode_request(intent.body)
        outcome.last_ns = max(outcome.last_ns, _newest(entries, refused.keys()))
        rejected = bodies.with_lines(intent, entries, refused.keys())
        complete = await self._write(lambda db: queries.reject_entries(db, intent, rejected, refused, []))
        self._metrics.delivered(intent.entries - len(rejected), len(intent.body))
        self._count_rejected(intent, rejected, refused, outcome)
        return complete

    def _count_rejected(
        self,
        intent: Intent,
        rejected: Sequence[tuple[int | None, Entry]],
        reasons: Mapping[int, str],
        outcome: Outcome,
    ) -> None:
        outcome.rejected += len(rejected)
        for _, entry in rejected:
            self._metrics.rejected(1, answers.refusal_kind(reasons[entry.time_ns]))
        if rejected:
            everything = len(rejected) == intent.entries
            reason = reasons[rejected[0][1].time_ns]
            self.health.refused(intent.labels, reason, len(rejected), everything=everything)

    async def _remove_stored(self, intent: Intent, outcome: Outcome) -> tuple[Intent | None, bool]:
        """Look up which entries of an intent Loki has stored, and remove them from it.

        Returns:
            the intent with the missing entries, or None if it was acknowledged because none is missing; whether the
            batch is complete.

        """
        _, entries = decode_request(intent.body)
        missing = await self._lookup.missing(intent.labels, entries)
        if missing is None or len(missing) == len(entries):
            return intent, False
        self._metrics.looked_up(len(entries) - len(missing))
        outcome.last_ns = max(outcome.last_ns, intent.last_ns if not missing else 0)
        if not missing:
            self.health.delivered(intent.labels)
            return None, await self._acknowledge(intent)
        body = bodies.part(intent, entries, missing)
        [replaced] = await self._write(lambda db: queries.replace_intent(db, intent, [body]))
        return replaced, False


def _newest(entries: Sequence[Entry], without: AbstractSet[int]) -> int:
    """Return the time of the newest entry, of those whose time is not in `without`; 0 if there is none."""
    return max((entry.time_ns for entry in entries if entry.time_ns not in without), default=0)
