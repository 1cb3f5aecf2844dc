"""Delivers batches to an OTLP receiver: each entry at least once, and recognisable by its identity if it comes again.

A crash of the agent, or an answer that was lost, repeats records, with the same times, texts and identities. What
cannot be sent is tried again until somebody has changed what prevents it. Only what the receiver refuses for good is
given up; the journal keeps it with the reason.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tracetail.agent.journal import queries
from tracetail.agent.journal.database import Journal
from tracetail.agent.metrics.output_metrics import OutputMetrics
from tracetail.agent.model import Intent, Outcome
from tracetail.agent.shipping import bodies
from tracetail.agent.shipping.in_flight import Share
from tracetail.agent.shipping.journaled_delivery import JournaledDelivery
from tracetail.agent.shipping.otlp_answers import ExportAnswer, Verdict, setting_for, verdict
from tracetail.agent.shipping.otlp_client import OtlpClient, ReceiverUnavailableError
from tracetail.agent.shipping.otlp_records import request_of
from tracetail.contract.backoff import SETTINGS_SECONDS, Backoff
from tracetail.loki.entries import decode_request

BODY_MAX_BYTES = 256 << 10
"""Of an intent, before compression: attributes are repeated for each record."""
_SHOWN_CHARACTERS = 300


class OtlpDelivery(JournaledDelivery):
    """Delivers batches through a journal of its own to one receiver."""

    def __init__(
        self,
        journal: Journal,
        client: OtlpClient,
        metrics: OutputMetrics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(journal, sleep, receiver="the OTLP receiver")
        self._client = client
        self._metrics = metrics

    async def _deliver_intent(self, intent: Intent, outcome: Outcome, share: Share | None) -> bool:
        del share  # an intent of an earlier process is sent again: its records are recognised by their identities
        refused: dict[int, str] = {}
        unnamed = 0
        waiting = [range(intent.entries)]
        while waiting:
            part = waiting.pop()
            answer = await self._export(intent, part)
            if verdict(answer) is Verdict.DELIVERED and answer.rejected < len(part):
                unnamed += self._count_unnamed(intent, part, answer)
            elif len(part) > 1 and verdict(answer) is not Verdict.DELIVERED:
                middle = part.start + len(part) // 2
                waiting += [range(middle, part.stop), range(part.start, middle)]
            else:
                reason = answer.text[:_SHOWN_CHARACTERS] or f"the receiver answered {answer.status}"
                refused |= dict.fromkeys(part, reason)
        if not refused:
            self.health.delivered(intent.labels)
        outcome.last_ns = max(outcome.last_ns, intent.last_ns)
        outcome.rejected += len(refused) + unnamed
        self._metrics.sent(intent.entries - len(refused) - unnamed, len(intent.body))
        return await (self._reject(intent, refused) if refused else self._acknowledge(intent))

    async def _export(self, intent: Intent, part: range) -> ExportAnswer:
        """Send the entries of an intent with these indexes until the receiver takes or refuses them."""
        backoff = Backoff()
        while True:
            try:
                answer = await self._client.export(_request(intent, part))
                decision = verdict(answer)
                if decision is Verdict.BAD_DATA and not await self._takes_any_request():
                    decision = Verdict.SETTINGS
            except ReceiverUnavailableError as error:
                self._metrics.failed("unreachable")
                self.health.blocked(str(error))
                await self._pause(intent, backoff.wait())
                continue
            if decision in (Verdict.DELIVERED, Verdict.TOO_LARGE, Verdict.BAD_DATA):
                self.health.reached()
                return answer
            self._metrics.failed(str(answer.status))
            said = f"the OTLP receiver answers {answer.status}"
            if decision is Verdict.SETTINGS:
                said += f" at {self._client.settings.url}: look at {setting_for(answer.status)}"
            self.health.blocked(f"{said}; {answer.text[:_SHOWN_CHARACTERS]}".rstrip("; "))
            at_least = SETTINGS_SECONDS if decision is Verdict.SETTINGS else 0.0
            await self._pause(intent, backoff.wait(max(at_least, answer.retry_after)))

    async def _takes_any_request(self) -> bool:
        """Return whether the receiver takes a request without records: then it is the records that it refuses."""
        return verdict(await self._client.export(request_of({}, []))) is Verdict.DELIVERED

    def _count_unnamed(self, intent: Intent, part: range, answer: ExportAnswer) -> int:
        """Count what a partial success says is refused, of which the receiver does not say which records they are.

        The specification forbids to send the request again.
        """
        if answer.rejected:
            self._metrics.rejected(answer.rejected)
            reason = f"of {len(part)} sent together, the receiver does not say which: {answer.text}"
            self.health.refused(intent.labels, reason, answer.rejected, everything=False)
        return answer.rejected

    async def _reject(self, intent: Intent, refused: dict[int, str]) -> bool:
        """Store refused entries, by index with the reason, in the journal; return whether the batch is complete."""
        _, entries = decode_request(intent.body)
        reasons = {entries[index].time_ns: reason for index, reason in refused.items()}
        rejected = bodies.with_lines(intent, entries, reasons.keys())
        self._metrics.rejected(len(refused))
        everything = len(refused) == intent.entries
        self.health.refused(intent.labels, next(iter(refused.values())), len(refused), everything=everything)
        return await self._write(lambda db: queries.reject_entries(db, intent, rejected, reasons, []))


def _request(intent: Intent, part: Sequence[int]) -> bytes:
    _, entries = decode_request(intent.body)
    return request_of(intent.labels, [entries[index] for index in part])
