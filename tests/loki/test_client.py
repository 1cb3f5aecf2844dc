"""The client of Loki against a server that answers what a test wants: refusals, redirects, answers that are none."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tracetail.contract.http_settings import HttpSettingsError
from tracetail.loki import client as module
from tracetail.loki.client import LokiClient
from tracetail.loki.entries import decode_metadata, decode_request
from tracetail.loki.errors import LokiError, LokiRefusedError, LokiUnavailableError
from tracetail.loki.settings import LokiSettings


class Server:
    """Answers every path with what `answer` returns, and remembers the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.answer: Callable[[web.Request], web.StreamResponse] = lambda _: web.Response(status=204)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return self.answer(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with TestServer(app) as started:
        server.url = str(started.make_url("/"))
        yield server


@pytest.fixture
async def loki(server: Server) -> AsyncIterator[LokiClient]:
    async with LokiClient(LokiSettings(url=server.url)) as loki:
        yield loki


def streams(*streams: tuple[dict[str, str], list[tuple[int, str]]]) -> web.Response:
    result = [
        {"stream": labels, "values": [[str(time_ns), line] for time_ns, line in values]} for labels, values in streams
    ]
    return web.json_response({"status": "success", "data": {"resultType": "streams", "result": result}})


Request = Callable[[LokiClient], Awaitable[object]]
READS: dict[str, Request] = {
    "query": lambda loki: loki.query_streams("{}", 0, 1),
    "all entries": lambda loki: loki.all_entries("{}", 0, 1),
    "counts over time": lambda loki: loki.counts_over_time("{}", 10**6, 10**6, 10**6),
    "counts": lambda loki: loki.counts("{}", 0, 1),
    "series": lambda loki: loki.series("{}", 0, 1),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, LokiRefusedError),
        (404, LokiRefusedError),
        (401, LokiUnavailableError),
        (403, LokiUnavailableError),
        (429, LokiUnavailableError),
        (500, LokiUnavailableError),
        (503, LokiUnavailableError),
    ],
)
async def test_what_is_refused_for_good_and_what_may_work_later(
    loki: LokiClient, server: Server, read: Request, status: int, error: type[LokiError]
) -> None:
    server.answer = lambda _: web.Response(status=status, text="because")
    with pytest.raises(error, match=f"Loki answered {status}: because") as caught:
        await read(loki)
    assert caught.value.status == status


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_a_redirect_is_not_followed(loki: LokiClient, server: Server, read: Request) -> None:
    server.answer = lambda _: web.Response(status=302, headers={"Location": "http://elsewhere.example/"})
    with pytest.raises(LokiUnavailableError, match=r"redirected to http://elsewhere\.example/; look at loki\.url"):
        await read(loki)
    assert len(server.requests) == 1


async def test_a_push_is_not_redirected_either(loki: LokiClient, server: Server) -> None:
    server.answer = lambda _: web.Response(status=307, headers={"Location": "/elsewhere"})
    answer = await loki.push(b"body")
    assert (answer.status, answer.text) == (307, "redirected to /elsewhere; look at loki.url")
    assert len(server.requests) == 1


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("content", [b"<html>", b"\xff", b""])
async def test_an_answer_that_is_not_json_is_none(
    loki: LokiClient, server: Server, read: Request, content: bytes
) -> None:
    server.answer = lambda _: web.Response(body=content)
    with pytest.raises(LokiUnavailableError, match="is not JSON") as caught:
        await read(loki)
    assert caught.value.status is None


@pytest.mark.parametrize("content", ["[]", "{}", '{"data": {"result": 3}}', '{"data": []}', "null"])
async def test_json_without_a_result_is_no_answer_to_a_query(loki: LokiClient, server: Server, content: str) -> None:
    server.answer = lambda _: web.Response(text=content)
    with pytest.raises(LokiUnavailableError, match=r"has no result; look at loki\.url"):
        await loki.query_streams("{}", 0, 1)


async def test_series_of_an_empty_loki_have_no_data(loki: LokiClient, server: Server) -> None:
    server.answer = lambda _: web.json_response({"status": "success"})
    assert await loki.series("{}", 0, 1) == []


async def test_an_answer_without_end_is_given_up(
    loki: LokiClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_MAX_BYTES", 1 << 20)
    server.answer = lambda _: web.Response(body=b" " * (3 << 20))
    with pytest.raises(LokiUnavailableError, match="has more than 1 MiB"):
        await loki.counts("{}", 0, 1)


async def test_the_text_of_a_refusal_is_read_to_a_limit(loki: LokiClient, server: Server) -> None:
    server.answer = lambda _: web.Response(status=400, body=b"x" * (1 << 20))
    answer = await loki.push(b"body")
    assert len(answer.text) == module.REFUSAL_MAX_BYTES


async def test_retry_after_is_part_of_the_answer_to_a_push(loki: LokiClient, server: Server) -> None:
    server.answer = lambda _: web.Response(status=429, text="slower", headers={"Retry-After": "7"})
    assert (await loki.push(b"body")).retry_after == 7


@pytest.mark.parametrize("structured_metadata", [True, False])
async def test_entries_are_pushed_with_their_metadata_where_loki_has_any(
    server: Server, structured_metadata: bool
) -> None:
    settings = LokiSettings(url=server.url, structured_metadata=structured_metadata)
    async with LokiClient(settings) as loki:
        await loki.push_entries({"a": "b"}, [(1, "one", {"level": "info"}), (2, "half \ud800", {})])
    assert server.requests[0].content_type == "application/x-protobuf"
    labels, entries = decode_request(server.bodies[0])
    assert labels == '{a="b"}'
    assert [(entry.time_ns, entry.text) for entry in entries] == [(1, b"one"), (2, b"half ?")]
    assert decode_metadata(entries[0].meta) == ({"level": "info"} if structured_metadata else {})


@pytest.mark.parametrize(
    ("status", "error"),
    [(260, LokiRefusedError), (200, LokiRefusedError), (400, LokiRefusedError), (503, LokiUnavailableError)],
)
async def test_only_204_means_that_entries_are_stored(
    loki: LokiClient, server: Server, status: int, error: type[LokiError]
) -> None:
    server.answer = lambda _: web.Response(status=status, text="no")
    with pytest.raises(error, match=f"Loki answered {status}: no"):
        await loki.push_entries({"a": "b"}, [(1, "one", {})])


async def test_all_entries_are_those_of_every_stream_in_order_and_each_once(loki: LokiClient, server: Server) -> None:
    error, info = {"a": "b", "level": "error"}, {"a": "b", "level": "info"}
    server.answer = lambda _: streams((info, [(3, "x"), (1, "x"), (1, "x")]), (error, [(2, "y"), (1, "x")]))
    found = await loki.all_entries('{a="b"}', 0, 10)
    assert sorted((e.time_ns, e.line, e.labels["level"]) for e in found) == [
        (1, "x", "error"),
        (1, "x", "info"),
        (2, "y", "error"),
        (3, "x", "info"),
    ]
    assert [entry.time_ns for entry in found] == [1, 1, 2, 3]


async def test_a_rotated_token_and_tenant_are_sent_with_each_request(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    settings = LokiSettings(url=server.url, bearer_token_file=str(token), tenant="team")
    async with LokiClient(settings) as loki:
        await loki.push(b"")
        token.write_text("new\n")
        await loki.is_ready()
        token.unlink()
        with pytest.raises(LokiUnavailableError, match=r"loki\.bearer_token_file cannot be read"):
            await loki.push(b"")
        assert not await loki.is_ready()
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer old", "Bearer new"]
    assert {request.headers["X-Scope-OrgID"] for request in server.requests} == {"team"}


async def test_settings_that_cannot_work_are_refused_before_the_first_request(tmp_path: Path) -> None:
    with pytest.raises(HttpSettingsError, match=r"loki\.bearer_token_file cannot be read"):
        async with LokiClient(LokiSettings(url="http://127.0.0.1:1", bearer_token_file=str(tmp_path / "none"))):
            pass


@pytest.mark.parametrize(("status", "ready"), [(200, True), (503, False), (302, False)])
async def test_ready_is_what_loki_says(loki: LokiClient, server: Server, status: int, ready: bool) -> None:
    server.answer = lambda _: web.Response(status=status)
    assert await loki.is_ready() is ready


@pytest.mark.parametrize(
    ("date", "seconds"), [("Sun, 22 Nov 2026 13:12:10 GMT", 1_795_353_130), ("yesterday", None), ("", None)]
)
async def test_lokis_clock_is_the_date_of_its_answers(
    loki: LokiClient, server: Server, date: str, seconds: float | None
) -> None:
    server.answer = lambda _: web.Response(headers={"Date": date})
    assert await loki.clock() == seconds


async def test_nobody_there_is_said_with_the_address() -> None:
    async with LokiClient(LokiSettings(url="http://127.0.0.1:1/")) as loki:
        with pytest.raises(
            LokiUnavailableError, match=r"^Loki at http://127\.0\.0\.1:1 cannot be reached: Connection refused$"
        ) as caught:
            await loki.push(b"")
    assert caught.value.status is None
