"""librdkafka's producer for an asyncio loop: sends messages, and returns those that Kafka did not take.

confluent_kafka serves its callbacks in whatever thread polls it: here a thread for each producer.
"""

import asyncio
import contextlib
import functools
import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tracetail.agent.kafka_settings import KafkaSettings, KafkaSettingsError
from tracetail.agent.shipping.kafka_messages import Message

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Producer

IDENTITY_HEADER = "id"
"""The header that holds the identity of a message's entry."""
_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 2.0
_LOOK_UP_SECONDS = 5.0
_QUEUE_FULL_SECONDS = 0.05
_MESSAGES_WITHOUT_PAUSE = 250
"""So many messages are handed over before other tasks of the loop may go on: about a millisecond."""
_librdkafka = logging.getLogger(f"{__name__}.librdkafka")

Failure = tuple[Message, "KafkaError"]


def new_producer(settings: KafkaSettings, **more: Any) -> "Producer":
    """Return a producer of librdkafka. Raises KafkaSettingsError.

    more: options and callbacks. It connects to the brokers, if there is a setting for them.
    """
    try:
        from confluent_kafka import KafkaException, Producer  # noqa: PLC0415  (an extra of the package)
    except ImportError as error:
        raise KafkaSettingsError(
            "kafka.brokers is set, and the package confluent-kafka is missing: pip install 'tracetail[kafka]'"
        ) from error
    options = settings.client_options()
    # Its log repeats what the callback for errors is called with.
    _librdkafka.setLevel(logging.DEBUG if options.get("debug") else logging.CRITICAL)
    try:
        return Producer({**options, **more}, logger=_librdkafka)
    except (KafkaException, TypeError, ValueError) as error:
        raise KafkaSettingsError(f"kafka.options: librdkafka does not accept them: {reason_of(error)}") from error


def check_options(settings: KafkaSettings) -> None:
    """Raise KafkaSettingsError if librdkafka does not accept the options, or a file is missing. Connects nowhere."""
    new_producer(settings)


def reason_of(error: Exception) -> str:
    """Return librdkafka's text for an exception of confluent_kafka."""
    inner: Any = error.args[0] if error.args else None
    return str(inner.str()) if hasattr(inner, "str") else str(error)


class _Client:
    """A producer of librdkafka, and the thread that serves its callbacks."""

    def __init__(self, settings: KafkaSettings, on_error: "Callable[[KafkaError], None]") -> None:
        brokers = {"bootstrap.servers": ",".join(settings.brokers)}
        self.producer = new_producer(settings, error_cb=on_error, **brokers)
        from confluent_kafka import KafkaException  # noqa: PLC0415  (an extra of the package)

        self.refusal = KafkaException
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give up what is not acknowledged, and end the thread soon."""
        self._closed.set()

    def join(self) -> None:
        """Wait until the thread has ended, for a limited time."""
        self._thread.join(_POLL_SECONDS + _CLOSE_SECONDS + 1)

    def _serve(self) -> None:
        while not self._closed.is_set():
            self.producer.poll(_POLL_SECONDS)
        # Each message gets its result, or whoever sent it would wait for ever.
        self.producer.purge()
        while self.producer.flush(_CLOSE_SECONDS):
            self.producer.purge()


class KafkaProducer:
    """Sends messages to the topic, idempotently: none is lost or doubled as long as the producer lives."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self.on_error: Callable[[KafkaError], None] = lambda _: None
        """Is called in the loop with errors that belong to no message: of connections, of authentication."""
        self._loop: asyncio.AbstractEventLoop
        self._client: _Client

    def open(self) -> None:
        """Begin to connect; call it in the loop. Raises KafkaSettingsError."""
        self._loop = asyncio.get_running_loop()
        self._client = _Client(self.settings, self._report)

    async def close(self) -> None:
        """Give up what is not acknowledged: the journal has it."""
        self._client.close()
        await asyncio.to_thread(self._client.join)

    def renew(self) -> None:
        """Go on with another producer of librdkafka, which reads certificates and the files of secrets again.

        What is in flight fails, and is to be sent again. Raises KafkaSettingsError: then the old one remains.
        """
        old, self._client = self._client, _Client(self.settings, self._report)
        old.close()

    async def look_up_topic(self) -> None:
        """Look for the topic now: by itself librdkafka looks for one that was missing every five minutes."""
        client = self._client
        with contextlib.suppress(client.refusal):  # the next attempt reports why
            await asyncio.to_thread(client.producer.list_topics, self.settings.topic, _LOOK_UP_SECONDS)

    async def send(
        self, messages: Sequence[Message], unanswered: Callable[[], None], seconds: float
    ) -> list[Failure]:
        """Send messages; return those that Kafka has not stored, in their order, with the reasons.

        unanswered: is called while nothing is known of them, after this number of seconds, and again.
        """
        sending = _Sending(self._loop, messages)
        for index, message in enumerate(messages):
            await self._hand_over(sending, index, message, unanswered, seconds)
            if index % _MESSAGES_WITHOUT_PAUSE == _MESSAGES_WITHOUT_PAUSE - 1:
                await asyncio.sleep(0)
        sending.handed_over()
        while not sending.result.done():
            await asyncio.wait([sending.result], timeout=seconds)
            if not sending.result.done():
                unanswered()
        return sending.result.result()

    async def _hand_over(
        self, sending: "_Sending", index: int, message: Message, unanswered: Callable[[], None], seconds: float
    ) -> None:
        """Hand a message over to librdkafka, which sends it; wait while its queue is full."""
        report = functools.partial(sending.delivered, index)
        waited = 0.0
        while True:
            client = self._client
            try:
                client.producer.produce(
                    self.settings.topic,
                    message.value,
                    message.key,
                    timestamp=message.time_ms,
                    headers=[(IDENTITY_HEADER, message.identity)],
                    on_delivery=report,
                )
            except BufferError:
                await asyncio.sleep(_QUEUE_FULL_SECONDS)
                waited += _QUEUE_FULL_SECONDS
                if waited >= seconds:
                    waited = 0.0
                    unanswered()
            except client.refusal as error:
                report(error.args[0], None)
                return
            else:
                return

    def _report(self, error: "KafkaError") -> None:
        """Pass an error on to the loop; called in the producer's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self.on_error, error)


class _Sending:
    """What is known of some messages that are sent together."""

    def __init__(self, loop: asyncio.AbstractEventLoop, messages: Sequence[Message]) -> None:
        self.result: asyncio.Future[list[Failure]] = loop.create_future()
        self._loop = loop
        self._messages = messages
        self._lock = threading.Lock()
        self._left = len(messages) + 1
        """Messages without a result, and one for those that are not handed over yet."""
        self._failed: dict[int, KafkaError] = {}

    def delivered(self, index: int, error: "KafkaError | None", message: object) -> None:
        """Take the result of a message; called in any thread."""
        del message
        if error is not None:
            self._failed[index] = error
        with self._lock:
            self._left -= 1
            if self._left:
                return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._finish)

    def handed_over(self) -> None:
        """Note that librdkafka has all messages."""
        with self._lock:
            self._left -= 1
            if self._left:
                return
        self._finish()

    def _finish(self) -> None:
        if not self.result.done():
            self.result.set_result([(self._messages[index], self._failed[index]) for index in sorted(self._failed)])
