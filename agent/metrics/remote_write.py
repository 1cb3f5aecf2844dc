"""Sends all metrics to Prometheus by its remote-write protocol, version 1.

    WriteRequest{1: repeated TimeSeries}
    TimeSeries{1: repeated Label{1: name, 2: value}, 2: repeated Sample{1: double value, 2: int64 milliseconds}}

in protobuf and raw snappy. Labels are sorted by name. A series that is no longer reported (a launch that ended) gets
a staleness marker, as Prometheus does when it scrapes: it ends at once, not five minutes later.

Requests that the receiver cannot process now (429, 5xx, no answer) are kept, in order and within a limit, and sent
again; requests that it refuses (any other 4xx) are dropped and counted.

Source: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

import asyncio
import contextlib
import logging
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import aiohttp
import cramjam
from prometheus_client import CollectorRegistry, Counter, Gauge

from tracetail.contract.backoff import Backoff
from tracetail.contract.http_headers import retry_after_seconds
from tracetail.contract.secret_file import SecretFileError
from tracetail.contract.system_authorities import ssl_for
from tracetail.loki.wire import delimited, varint

log = logging.getLogger(__name__)

SAMPLES_PER_REQUEST = 2_000
SAMPLES_HELD_MAX = 500_000
"""Kept encoded and compressed while the receiver is unavailable; beyond this number the oldest are dropped."""
BACKOFF_SECONDS = (1.0, 60.0)
"""First and longest wait before a request is repeated."""
LAST_SENDING_SECONDS = 2.0

STALE_NAN = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The NaN that marks the end of a series in Prometheus (model/value/value.go); compared by its bits."""

Labels = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """One sample of one time series."""

    labels: Labels
    """Sorted by name; the metric's name is `__name__`."""
    value: float
    milliseconds: int


class Batch(NamedTuple):
    """One request: its number of samples, and its body, which is the same at every repetition."""

    samples: int
    body: bytes


class RefusedError(Exception):
    """The receiver will never accept this request."""


class UnavailableError(Exception):
    """The receiver cannot accept this request now."""

    def __init__(self, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


def take_samples(registry: CollectorRegistry, extra: Mapping[str, str], milliseconds: int) -> list[Series]:
    """Return the registry's samples as of now, with the labels of extra added where a sample has none of its own."""
    return [
        Series(_labels(sample.name, {**extra, **sample.labels}), float(sample.value), milliseconds)
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def stale_markers(before: Iterable[Labels], now: Iterable[Labels], milliseconds: int) -> list[Series]:
    """Return a staleness marker for each series of `before` that is not in `now`."""
    gone = set(before).difference(now)
    return [Series(labels, STALE_NAN, milliseconds) for labels in sorted(gone)]


def encode(series: Iterable[Series]) -> bytes:
    """Return the body of a request: a WriteRequest in snappy's block format."""
    message = b"".join(delimited(1, _time_series(one)) for one in series)
    return bytes(cramjam.snappy.compress_raw(message))


def batches(series: Sequence[Series]) -> list[Batch]:
    """Return the requests with these samples."""
    cuts = (series[start : start + SAMPLES_PER_REQUEST] for start in range(0, len(series), SAMPLES_PER_REQUEST))
    return [Batch(len(cut), encode(cut)) for cut in cuts]


def _time_series(one: Series) -> bytes:
    labels = b"".join(
        delimited(1, delimited(1, name.encode()) + delimited(2, value.encode(errors="replace")))
        for name, value in one.labels
    )
    sample = b"\x09" + struct.pack("<d", one.value) + b"\x10" + varint(one.milliseconds)
    return labels + delimited(2, sample)


def _labels(name: str, labels: Mapping[str, str]) -> Labels:
    # An empty value means the same as no label, and receivers refuse it.
    return tuple(sorted([("__name__", name), *((key, value) for key, value in labels.items() if value)]))


class RemoteWriter:
    """Sends requests to one receiver."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        headers: Callable[[], Mapping[str, str]] = dict,
        timeout_seconds: float = 30.0,
    ) -> None:
        """url: the receiver's full URL. headers: called before each request, because a token may be rotated."""
        self._session = session
        self._url = url
        self._headers = headers
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def send(self, body: bytes) -> None:
        """Send one encoded request. Raises RefusedError or UnavailableError."""
        try:
            headers = {
                "Content-Type": "application/x-protobuf",
                "Content-Encoding": "snappy",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
                "User-Agent": "tracetail-agent",
                **self._headers(),
            }
            async with self._session.post(
                self._url,
                data=body,
                headers=headers,
                ssl=ssl_for(self._url),
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                if answer.status // 100 == 2:
                    return
                reason = (
                    f"{self._url} answered {answer.status}: {(await answer.text(errors='replace'))[:300].strip()}"
                )
                if answer.status == 429 or answer.status >= 500:
                    raise UnavailableError(reason, retry_after_seconds(answer.headers.get("Retry-After")))
                raise RefusedError(reason)
        except (aiohttp.ClientError, OSError, SecretFileError) as error:
            raise UnavailableError(f"{self._url} does not answer: {error or type(error).__name__}") from error


class RemoteWriteQueue:
    """Batches to be sent, in order; the oldest are dropped when there are too many."""

    def __init__(self, registry: CollectorRegistry, *, samples_max: int = SAMPLES_HELD_MAX) -> None:
        self._batches: deque[Batch] = deque()
        self._held = 0
        self._samples_max = samples_max
        self._samples = Counter(
            "tracetail_agent_remote_write_samples",
            "Samples for the remote-write receiver, by result.",
            ["result"],
            registry=registry,
        )
        self._retries = Counter(
            "tracetail_agent_remote_write_retries", "Requests that had to be repeated.", registry=registry
        )
        self._pending = Gauge(
            "tracetail_agent_remote_write_pending_samples", "Samples that wait to be sent.", registry=registry
        )

    def put(self, batches: Iterable[Batch]) -> None:
        """Append requests; drop the oldest if there are too many."""
        for batch in batches:
            self._batches.append(batch)
            self._held += batch.samples
        while self._held > self._samples_max and len(self._batches) > 1:
            self._done(self._batches[0], "dropped")
        self._pending.set(self._held)

    async def drain(self, writer: RemoteWriter) -> None:
        """Send all batches, oldest first. Raises UnavailableError, and keeps the rest."""
        while self._batches:
            batch = self._batches[0]
            try:
                await writer.send(batch.body)
            except UnavailableError:
                self._retries.inc()
                raise
            except RefusedError as error:
                log.warning("%d samples dropped: %s", batch.samples, error)
                self._done(batch, "refused")
            else:
                self._done(batch, "sent")
            self._pending.set(self._held)

    def _done(self, batch: Batch, result: str) -> None:
        self._samples.labels(result).inc(batch.samples)
        # put() may have dropped the batch while it was being sent.
        if self._batches and self._batches[0] is batch:
            self._batches.popleft()
            self._held -= batch.samples


async def write_regularly(
    writer: RemoteWriter,
    registry: CollectorRegistry,
    *,
    labels: Mapping[str, str],
    interval_seconds: float,
    now: Callable[[], float],
) -> None:
    """Take the registry's samples every interval and send them, until cancelled; now() is in epoch seconds.

    When cancelled, it ends every series too, if the receiver accepts all batches within LAST_SENDING_SECONDS.
    """
    queue = RemoteWriteQueue(registry)
    wake = asyncio.Event()
    sending = asyncio.create_task(_send_all(queue, writer, wake))
    before: list[Labels] = []
    try:
        while True:
            milliseconds = int(now() * 1000)
            before, ready = await asyncio.to_thread(_sample, registry, labels, milliseconds, before)
            queue.put(ready)
            wake.set()
            await asyncio.sleep(interval_seconds)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        queue.put(batches(stale_markers(before, (), int(now() * 1000))))
        with contextlib.suppress(UnavailableError, TimeoutError):
            async with asyncio.timeout(LAST_SENDING_SECONDS):
                await queue.drain(writer)


def _sample(
    registry: CollectorRegistry, labels: Mapping[str, str], milliseconds: int, before: Iterable[Labels]
) -> tuple[list[Labels], list[Batch]]:
    """Return the current series, and the requests with their samples and the ends of the series in `before`."""
    series = take_samples(registry, labels, milliseconds)
    known = [one.labels for one in series]
    return known, batches([*series, *stale_markers(before, known, milliseconds)])


async def _send_all(queue: RemoteWriteQueue, writer: RemoteWriter, wake: asyncio.Event) -> None:
    backoff = Backoff(*BACKOFF_SECONDS)
    failing = False
    while True:
        await wake.wait()
        wake.clear()
        try:
            await queue.drain(writer)
        except UnavailableError as error:
            if not failing:
                log.warning("%s", error)
            failing = True
            await asyncio.sleep(backoff.wait(error.retry_after_seconds))
            wake.set()
        else:
            if failing:
                log.info("the remote-write receiver accepts samples again")
            failing = False
            backoff = Backoff(*BACKOFF_SECONDS)
