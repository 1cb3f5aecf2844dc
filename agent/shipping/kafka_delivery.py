"""Delivers batches to Kafka: each entry at least once, and recognisable by its identity if it comes again.

The producer is idempotent, so that only a crash of the agent, or a producer that had to be replaced, repeats
messages: those of the journal's intents, with the same values and identities. Nothing is ever given up: what Kafka
does not take is tried again until somebody has changed what prevents it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from tracetail.agent.journal.database import Journal
from tracetail.agent.kafka_settings import KafkaSettingsError
from tracetail.agent.metrics.output_metrics import OutputMetrics
from tracetail.agent.model import Intent, Outcome
from tracetail.agent.shipping.in_flight import Share
from tracetail.agent.shipping.journaled_delivery import JournaledDelivery
from tracetail.agent.shipping.kafka_errors import Trouble, advice, trouble_of
from tracetail.agent.shipping.kafka_messages import Message, messages_of
from tracetail.agent.shipping.kafka_producer import Failure, KafkaProducer
from tracetail.contract.backoff import SETTINGS_SECONDS, Backoff
from tracetail.loki.entries import decode_request

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

BODY_MAX_BYTES = 256 << 10
"""Of an intent, before compression: while Kafka cannot be reached, one for each slot is in memory."""
UNANSWERED_SECONDS = 3.0
"""If nothing is acknowledged for this time, the reason is reported."""
TOPIC_SECONDS = 3.0
"""Wait before it is looked again whether the topic is there, and may be written to."""
_RENEW_SECONDS = 1.0
_VALUE_MARGIN_BYTES = 4096
"""What a message has beside its value counts too: key, headers, and a few bytes of the format."""


class KafkaDelivery(JournaledDelivery):
    """Delivers batches through a journal of its own to one topic."""

    def __init__(
        self,
        journal: Journal,
        producer: KafkaProducer,
        metrics: OutputMetrics,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(journal, sleep, receiver="Kafka")
        self._producer = producer
        self._metrics = metrics
        self._clock = clock
        self._in_flight = 0
        self._error: KafkaError | None = None
        """The last error since something was acknowledged."""
        self._renewed_at = clock() - _RENEW_SECONDS
        self._value_max_bytes = max(1024, producer.settings.message_max_bytes - _VALUE_MARGIN_BYTES)
        producer.on_error = self._handle_error

    async def _deliver_intent(self, intent: Intent, outcome: Outcome, share: Share | None) -> bool:
        del share  # an intent of an earlier process is sent again: its messages are recognised by their identities
        entries = decode_request(intent.body)[1]
        size = len(intent.body)
        intent.body = b""
        messages = [
            part for message in messages_of(intent.labels, entries) for part in message.within(self._value_max_bytes)
        ]
        del entries
        self._in_flight += 1
        try:
            await self._send_all(messages)
        finally:
            self._in_flight -= 1
        self._metrics.sent(intent.entries, size)
        outcome.last_ns = max(outcome.last_ns, intent.last_ns)
        return await self._acknowledge(intent)

    async def _send_all(self, messages: Sequence[Message]) -> None:
        """Send messages until Kafka has stored each of them."""
        backoff = Backoff()
        while messages:
            failures = await self._producer.send(messages, self._report_unanswered, UNANSWERED_SECONDS)
            if len(failures) < len(messages):
                self._error = None
                self.health.reached()
                backoff = Backoff()
            if failures:
                messages = await self._after_failures(failures, backoff)
            else:
                return

    async def _after_failures(self, failures: Sequence[Failure], backoff: Backoff) -> list[Message]:
        """Return the messages that are to be sent again, after the time that it takes."""
        for name, count in Counter(error.name() for _, error in failures).items():
            self._metrics.failed(name, count)
        troubles = [trouble_of(error) for _, error in failures]
        if Trouble.TOO_LARGE in troubles:
            return await self._send_in_parts([message for message, _ in failures], failures[0][1])
        if Trouble.TIME in troubles and any(message.time_ms for message, _ in failures):
            return [message._replace(time_ms=0) for message, _ in failures]
        if Trouble.PRODUCER in troubles:
            self.health.blocked(self._explain(self._error or failures[0][1]))  # the first one says why
            await self._sleep(backoff.wait())
            self._renew()
            return [message for message, _ in failures]
        self._error = failures[0][1]
        self.health.blocked(self._explain(self._error))
        if troubles[0] is Trouble.SETTINGS:
            await self._sleep(backoff.wait(TOPIC_SECONDS))
            await self._producer.look_up_topic()
        else:
            await self._sleep(backoff.wait())
        return [message for message, _ in failures]

    async def _send_in_parts(self, messages: list[Message], error: "KafkaError") -> list[Message]:
        """Return what is left of messages of which at least one is too large for the topic.

        The first half of them is sent; of a single one, its halves are left.
        """
        if len(messages) > 1:
            await self._send_all(messages[: len(messages) // 2])
            return messages[len(messages) // 2 :]
        if halves := messages[0].halves():
            return halves
        self.health.blocked(self._explain(error))
        await self._sleep(SETTINGS_SECONDS)
        return messages

    def _handle_error(self, error: "KafkaError") -> None:
        """Take an error of the producer that belongs to no message; while messages wait, it is reported soon."""
        trouble = trouble_of(error)
        if self._in_flight:
            self._metrics.failed(error.name())
        if trouble is not Trouble.ALL_DOWN or self._error is None:  # else the error before it says more
            self._error = error

    def _report_unanswered(self) -> None:
        """Report why nothing is acknowledged; read certificates and secrets again if that may be the reason."""
        if self._error is None:
            self.health.blocked(
                f"Kafka has not acknowledged messages to {self._producer.settings.target} for "
                f"{UNANSWERED_SECONDS:.0f} s: look at the log of the broker that leads the partition"
            )
            return
        self.health.blocked(self._explain(self._error))
        may_help = trouble_of(self._error) in (Trouble.CREDENTIALS, Trouble.PRODUCER)
        if may_help and self._clock() - self._renewed_at > SETTINGS_SECONDS:
            self._renew()

    def _renew(self) -> None:
        """Go on with another producer, unless another delivery has just done so."""
        now = self._clock()
        if now - self._renewed_at < _RENEW_SECONDS:
            return
        self._renewed_at = now
        try:
            self._producer.renew()
        except KafkaSettingsError as error:
            self.health.blocked(str(error))

    def _explain(self, error: "KafkaError") -> str:
        settings = self._producer.settings
        return f"Kafka takes no lines: {error.str()}; {advice(error, settings)} (lines for {settings.target})"
