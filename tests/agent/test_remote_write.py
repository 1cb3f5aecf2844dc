import asyncio
import math
import struct
import time

import aiohttp
import cramjam
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from support.monitoring import prometheus
from support.waiting import eventually

from tracetail.agent.metrics import remote_write
from tracetail.agent.metrics.remote_write import (
    RefusedError,
    RemoteWriteQueue,
    RemoteWriter,
    Series,
    UnavailableError,
    batches,
    encode,
    stale_markers,
    take_samples,
    write_regularly,
)

PROTO = """
syntax = "proto3";
package prometheus;
message WriteRequest { repeated TimeSeries timeseries = 1; }
message TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; }
message Label { string name = 1; string value = 2; }
message Sample { double value = 1; int64 timestamp = 2; }
"""


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="module")
def write_request(tmp_path_factory):
    """Return the class WriteRequest that protoc generates from the protocol's definition."""
    import sys

    from grpc_tools import protoc

    directory = tmp_path_factory.mktemp("proto")
    (directory / "prom_write.proto").write_text(PROTO)
    status = protoc.main(
        ["protoc", f"-I{directory}", f"--python_out={directory}", str(directory / "prom_write.proto")]
    )
    assert status == 0
    sys.path.insert(0, str(directory))
    try:
        import prom_write_pb2

        yield prom_write_pb2.WriteRequest
    finally:
        sys.path.remove(str(directory))


def _decoded(write_request, body):
    return write_request.FromString(bytes(cramjam.snappy.decompress_raw(body)))


def test_the_body_is_what_the_protocols_definition_reads(write_request):
    series = [
        Series((("__name__", "up"), ("model", "Qwen/通义")), 1.5, 1_795_353_130_123),
        Series((("__name__", "down"),), -math.inf, 2**40),
        Series((("__name__", "long"), ("x", "y" * 70_000)), 0.0, 0),
    ]

    request = _decoded(write_request, encode(series))

    assert [
        Series(
            tuple((label.name, label.value) for label in one.labels), one.samples[0].value, one.samples[0].timestamp
        )
        for one in request.timeseries
    ] == series


def test_labels_are_sorted_and_empty_ones_left_out():
    registry = CollectorRegistry()
    Gauge("g", "A gauge.", ["zone", "Alpha", "empty"], registry=registry).labels("z", "a", "").set(2)

    (series,) = take_samples(registry, {"job": "tracetail", "zone": "not this one"}, 7)

    assert series == Series((("Alpha", "a"), ("__name__", "g"), ("job", "tracetail"), ("zone", "z")), 2.0, 7)


def test_a_series_that_ends_gets_a_staleness_marker(write_request):
    gone = (("__name__", "up"), ("launch_id", "a"))
    here = (("__name__", "up"), ("launch_id", "b"))

    (marker,) = stale_markers([gone, here], [here], 9)

    assert marker.labels == gone
    body = encode([marker])
    assert struct.pack("<Q", 0x7FF0000000000002) in cramjam.snappy.decompress_raw(body)
    assert math.isnan(_decoded(write_request, body).timeseries[0].samples[0].value)


@pytest.mark.needs("prometheus")
async def test_a_real_prometheus_accepts_the_samples_and_ends_stale_series(session, tmp_path):
    now = time.time()
    with prometheus(tmp_path / "prometheus") as server:
        writer = RemoteWriter(session, server.write_url)
        registry = CollectorRegistry()
        up = Gauge("tracetail_server_up", "1 while ready.", ["launch_id", "service_name"], registry=registry)
        up.labels("a", "Qwen/通义").set(1)
        up.labels("b", "Qwen/通义").set(1)
        extra = {"job": "tracetail", "host": "m1"}
        first = take_samples(registry, extra, int(now * 1000) - 10_000)
        await writer.send(encode(first))
        labels = {
            "__name__": "tracetail_server_up", "launch_id": "a", "service_name": "Qwen/通义", "job": "tracetail",
            "host": "m1",
        }  # fmt: skip
        assert (labels, 1.0) in server.query("tracetail_server_up", now - 5)

        up.remove("a", "Qwen/通义")
        second = take_samples(registry, extra, int(now * 1000))
        gone = stale_markers([one.labels for one in first], [one.labels for one in second], int(now * 1000))
        await writer.send(encode([*second, *gone]))
        assert [found["launch_id"] for found, _ in server.query("tracetail_server_up", now + 1)] == ["b"]


@pytest.mark.needs("prometheus")
async def test_samples_that_a_real_prometheus_refuses_are_not_sent_again(session, tmp_path):
    with prometheus(tmp_path / "prometheus") as server:
        registry = CollectorRegistry()
        queue = RemoteWriteQueue(registry)
        now = int(time.time() * 1000)
        queue.put(batches([_one("fine", now)]))
        queue.put(batches([_one("fine", now - 10_000)]))
        queue.put(batches([_one("fine_too", now)]))

        await queue.drain(RemoteWriter(session, server.write_url))

        assert _counted(registry) == {"refused": 1, "sent": 2}
        assert server.query("fine_too", now / 1000) == [({"__name__": "fine_too"}, 1.0)]


def _counted(registry):
    samples = [sample for family in registry.collect() for sample in family.samples]
    return {
        sample.labels["result"]: sample.value
        for sample in samples
        if sample.name == "tracetail_agent_remote_write_samples_total"
    }


class Receiver:
    """Answers with the given statuses, then 204; keeps the requests that it accepted."""

    def __init__(self):
        self.answers = []
        self.taken = []
        self.headers = []

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/write", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/write"
        return self

    async def __aexit__(self, *error):
        await self._runner.cleanup()

    async def _answer(self, request):
        body = await request.read()
        self.headers.append(request.headers)
        status, headers = self.answers.pop(0) if self.answers else (204, {})
        if status == 204:
            self.taken.append(body)
        return web.Response(status=status, headers=headers, text="no" if status != 204 else "")


def _one(name, milliseconds=1):
    return Series((("__name__", name),), 1.0, milliseconds)


async def test_the_headers_are_those_of_the_protocol(session):
    async with Receiver() as receiver:
        writer = RemoteWriter(session, receiver.url, headers=lambda: {"Authorization": "Bearer t"})
        await writer.send(encode([_one("a")]))

    (headers,) = receiver.headers
    assert headers["Content-Encoding"] == "snappy"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert headers["Authorization"] == "Bearer t"


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_requests_of_an_unavailable_receiver_are_kept_in_order(session, status):
    registry = CollectorRegistry()
    queue = RemoteWriteQueue(registry)
    async with Receiver() as receiver:
        writer = RemoteWriter(session, receiver.url)
        receiver.answers = [(204, {}), (status, {"Retry-After": "17"})]
        for name in "abc":
            queue.put(batches([_one(name)]))

        with pytest.raises(UnavailableError) as caught:
            await queue.drain(writer)
        assert caught.value.retry_after_seconds == 17
        await queue.drain(writer)

        assert receiver.taken == [encode([_one(name)]) for name in "abc"]
    assert _counted(registry) == {"sent": 3}


async def test_a_refused_request_is_dropped_and_counted_and_the_next_is_sent(session):
    registry = CollectorRegistry()
    queue = RemoteWriteQueue(registry)
    async with Receiver() as receiver:
        receiver.answers = [(400, {})]
        queue.put(batches([_one("a"), _one("b")]))
        queue.put(batches([_one("c")]))
        await queue.drain(RemoteWriter(session, receiver.url))

    assert receiver.taken == [encode([_one("c")])]
    assert _counted(registry) == {"refused": 2, "sent": 1}


async def test_a_receiver_without_an_answer_is_unavailable(session):
    with pytest.raises(UnavailableError):
        await RemoteWriter(session, "http://127.0.0.1:1/write").send(encode([_one("a")]))
    async with Receiver() as receiver:
        receiver.answers = [(404, {})]
        with pytest.raises(RefusedError):
            await RemoteWriter(session, receiver.url).send(encode([_one("a")]))


async def test_the_oldest_request_is_dropped_when_there_are_too_many(session):
    registry = CollectorRegistry()
    queue = RemoteWriteQueue(registry, samples_max=4)
    for name in "abc":
        queue.put(batches([_one(name), _one(name + "2")]))

    async with Receiver() as receiver:
        await queue.drain(RemoteWriter(session, receiver.url))

    assert receiver.taken == [encode([_one(name), _one(name + "2")]) for name in "bc"]
    assert _counted(registry) == {"dropped": 2, "sent": 4}


async def test_many_samples_are_split_into_requests(session, write_request):
    queue = RemoteWriteQueue(CollectorRegistry())
    async with Receiver() as receiver:
        queue.put(batches([_one(f"m{number}") for number in range(remote_write.SAMPLES_PER_REQUEST + 5)]))
        await queue.drain(RemoteWriter(session, receiver.url))

    assert [len(_decoded(write_request, body).timeseries) for body in receiver.taken] == [2000, 5]


async def test_the_loop_sends_the_kept_requests_after_an_outage(session, write_request, monkeypatch):
    monkeypatch.setattr(remote_write, "BACKOFF_SECONDS", (0.02, 0.05))
    registry = CollectorRegistry()
    gauge = Gauge("g", "A gauge.", registry=registry)
    gauge.set(7)
    clock = iter(range(1, 1_000_000))
    async with Receiver() as receiver:
        receiver.answers = [(503, {})] * 3
        loop = asyncio.create_task(
            write_regularly(
                RemoteWriter(session, receiver.url),
                registry,
                labels={"job": "tracetail"},
                interval_seconds=0.01,
                now=lambda: next(clock),
            )
        )
        await eventually(lambda: len(receiver.taken) >= 5, "five requests taken")
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    times = [
        one.samples[0].timestamp
        for body in receiver.taken
        for one in _decoded(write_request, body).timeseries
        if {label.name: label.value for label in one.labels}.get("__name__") == "g"
    ]
    assert times[:5] == [1000, 2000, 3000, 4000, 5000]
    assert registry.get_sample_value("tracetail_agent_remote_write_retries_total") == 3


async def test_the_end_of_the_agent_ends_its_series(session, write_request):
    registry = CollectorRegistry()
    Gauge("g", "A gauge.", registry=registry)
    async with Receiver() as receiver:
        loop = asyncio.create_task(
            write_regularly(
                RemoteWriter(session, receiver.url), registry, labels={}, interval_seconds=600, now=lambda: 5.0
            )
        )
        await eventually(lambda: receiver.taken, "the first samples")
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    last = {
        one.labels[0].value: one.samples[0].value for one in _decoded(write_request, receiver.taken[-1]).timeseries
    }
    assert math.isnan(last["g"])


async def test_an_unavailable_receiver_does_not_delay_the_end(session, monkeypatch):
    monkeypatch.setattr(remote_write, "LAST_SENDING_SECONDS", 0.2)
    registry = CollectorRegistry()
    async with Receiver() as receiver:
        receiver.answers = [(503, {})] * 100
        loop = asyncio.create_task(
            write_regularly(
                RemoteWriter(session, receiver.url), registry, labels={}, interval_seconds=600, now=lambda: 5.0
            )
        )
        await eventually(lambda: receiver.headers, "a request")
        loop.cancel()
        async with asyncio.timeout(60):
            await asyncio.gather(loop, return_exceptions=True)

    assert receiver.taken == []
