"""The HTTP client of Loki: pushes bodies, runs queries. It reports what Loki answers; its callers decide what to do.

The only module that knows the paths of Loki's API.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/
"""

import email.utils
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import orjson

from tracetail import __version__
from tracetail.contract.http_headers import retry_after_seconds
from tracetail.loki.answers import PushAnswer
from tracetail.loki.connection_error import why
from tracetail.loki.entries import Entry, columns_of, encode_metadata, encode_request
from tracetail.loki.limits import ENTRIES_PER_QUERY_MAX
from tracetail.loki.paging import TimeRange
from tracetail.loki.settings import LokiSettings, LokiSettingsError

PUSH_PATH = "/loki/api/v1/push"
QUERY_RANGE_PATH = "/loki/api/v1/query_range"
QUERY_PATH = "/loki/api/v1/query"
SERIES_PATH = "/loki/api/v1/series"
READY_PATH = "/ready"

ANSWER_MAX_BYTES = 256 << 20
"""Of a query; by default Loki answers at most 100 MB (gRPC message size), the embedded store 64 MB."""
REFUSAL_MAX_BYTES = 64 << 10
"""Of an answer other than a success; what is longer is cut."""
_REFUSAL_SHOWN_CHARACTERS = 300
_CHUNK_BYTES = 64 << 10
_TEMPORARY_STATUSES = frozenset({401, 403, 407, 408, 429})
"""Beside 3xx and 5xx: a credential or a limit may change, so that the same query succeeds later."""


class LokiError(Exception):
    """A request to Loki failed. The message is one line for people, with Loki's address or its answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status of the answer; None if there was no complete answer: the request may have been carried out."""


class LokiUnavailableError(LokiError):
    """Loki did not answer, or answered that it cannot serve now: the same request may succeed later."""

    def __init__(self, message: str, status: int | None = None, *, sent: bool = True) -> None:
        super().__init__(message, status)
        self.sent = sent
        """Whether Loki may have received the request: False if there was no connection."""


class LokiRefusedError(LokiError):
    """Loki refuses this request and would refuse it again."""


class StoredEntry(NamedTuple):
    """One entry of a log query's answer."""

    time_ns: int
    line: str
    labels: Mapping[str, str]
    """Labels of the stream and structured metadata together, as Loki merges them."""


class LokiClient:
    """A connection pool to one Loki. Connects at the first request; close() it, or use it as a context manager."""

    def __init__(self, settings: LokiSettings, *, connections: int = 16) -> None:
        """connections: how many requests may run at a time."""
        self.settings = settings
        self.url = settings.url.rstrip("/")
        self.requests = 0
        """How many requests were sent."""
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Raise LokiSettingsError if the settings cannot be used."""
        self.settings.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def push(self, body: bytes) -> PushAnswer:
        """Post the body of a push request: protobuf in raw snappy. Raises LokiUnavailableError without an answer."""
        async with self._request(
            "POST", PUSH_PATH, data=body, headers={"Content-Type": "application/x-protobuf"}
        ) as response:
            text = "" if response.status == 204 else await _refusal_text(response)
            return PushAnswer(response.status, text, retry_after_seconds(response.headers.get("Retry-After")))

    async def push_entries(
        self, labels: Mapping[str, str], entries: Iterable[tuple[int, str, Mapping[str, str]]]
    ) -> None:
        """Push at least one entry (time in nanoseconds, line, structured metadata) of one stream.

        Raises LokiError unless all of them are stored.
        """
        keep = self.settings.structured_metadata
        columns = columns_of(
            Entry(time_ns, line.encode(errors="replace"), encode_metadata(metadata) if keep else b"")
            for time_ns, line, metadata in entries
        )
        answer = await self.push(encode_request(labels, [columns.encode()]))
        # Only 204 means stored: Loki's 260 is a success status that discards.
        if answer.status != 204:
            raise _error_of(answer.status, answer.text)

    async def query_streams(
        self, query: str, start_ns: int, end_ns: int, *, limit: int = ENTRIES_PER_QUERY_MAX, backward: bool = False
    ) -> list[dict[str, Any]]:
        """Return the result of one log query: at most limit entries in [start_ns, end_ns), from its start or its end.

        Each item has `stream`, labels and structured metadata merged, and `values`, pairs of time and line. Entries
        of one nanosecond are in no particular order. Raises LokiError.
        """
        params = {
            "query": query,
            "start": str(start_ns),
            "end": str(end_ns),
            "limit": str(limit),
            "direction": "backward" if backward else "forward",
        }
        return await self._result(QUERY_RANGE_PATH, params)

    async def all_entries(self, query: str, start_ns: int, end_ns: int) -> list[StoredEntry]:
        """Return every entry in [start_ns, end_ns), each once, oldest first. Raises LokiError."""

        async def page(start_ns: int, end_ns: int, *, limit: int, backward: bool) -> list[StoredEntry]:
            return _entries_of(await self.query_streams(query, start_ns, end_ns, limit=limit, backward=backward))

        found: list[StoredEntry] = []
        reading = TimeRange(page, start_ns, end_ns)
        while not reading.ended:
            found += _ordered(await reading.next())
        return found

    async def matrix(self, query: str, start_ns: int, end_ns: int, step_ns: int) -> list[dict[str, Any]]:
        """Return the result of a metric query over time. Raises LokiError."""
        params = {"query": query, "start": str(start_ns), "end": str(end_ns), "step": f"{step_ns / 1e9:g}"}
        return await self._result(QUERY_RANGE_PATH, params)

    async def vector(self, query: str, time_ns: int) -> list[dict[str, Any]]:
        """Return the result of a metric query at one time. Raises LokiError."""
        return await self._result(QUERY_PATH, {"query": query, "time": str(time_ns)})

    async def series(self, match: str, start_ns: int, end_ns: int) -> list[dict[str, str]]:
        """Return the labels of every stream that matches and has entries in the range. Raises LokiError."""
        params = {"match[]": match, "start": str(start_ns), "end": str(end_ns)}
        found: list[dict[str, str]] = (await self._answer(SERIES_PATH, params)).get("data") or []
        return found

    async def is_ready(self) -> bool:
        """Return whether Loki answers that it is ready."""
        try:
            async with self._request("GET", READY_PATH) as response:
                return response.status == 200
        except LokiError:
            return False

    async def clock(self) -> float | None:
        """Return Loki's time in seconds since the epoch, cut to whole seconds; None if its answers have no Date.

        Raises LokiUnavailableError.
        """
        async with self._request("GET", READY_PATH) as response:
            date = response.headers.get("Date")
        try:
            return email.utils.parsedate_to_datetime(date).timestamp() if date else None
        except ValueError:
            return None

    async def _result(self, path: str, params: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the result of a query."""
        data = (await self._answer(path, params)).get("data")
        result = data.get("result") if isinstance(data, dict) else None
        if not isinstance(result, list):
            raise LokiUnavailableError(f"the answer of {self.url} to a query has no result; look at loki.url")
        return result

    async def _answer(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Return the JSON object that a GET is answered with."""
        async with self._request("GET", path, params=params) as response:
            if response.status != 200:
                raise _error_of(response.status, await _refusal_text(response))
            body = await self._body(response)
        try:
            answer = orjson.loads(body)
        except ValueError as error:
            raise LokiUnavailableError(f"the answer of {self.url} to a query is not JSON: {error}") from error
        return answer if isinstance(answer, dict) else {}

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > ANSWER_MAX_BYTES:
                raise LokiUnavailableError(
                    f"the answer of {self.url} to a query has more than {ANSWER_MAX_BYTES >> 20} MiB"
                )
        return bytes(body)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield its answer. Raises LokiUnavailableError, also while the answer is read.

        A redirect is an answer like any other: credentials are for the host that loki.url names.
        """
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                timeout=aiohttp.ClientTimeout(total=self.settings.timeout_seconds),
                headers={"User-Agent": f"tracetail/{__version__}"},
            )
        self.requests += 1
        try:
            async with self._session.request(
                method,
                self.url + path,
                params=params,
                data=data,
                headers={**self.settings.headers(), **(headers or {})},
                ssl=self.settings.ssl_context(),
                proxy=self.settings.proxy or None,
                allow_redirects=False,
            ) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError, LokiSettingsError) as error:
            raise LokiUnavailableError(
                f"Loki at {self.url} cannot be reached: {why(error, self.settings)}",
                sent=not isinstance(error, (aiohttp.ClientConnectorError, LokiSettingsError)),
            ) from error


async def _refusal_text(response: aiohttp.ClientResponse) -> str:
    if 300 <= response.status < 400:
        return f"redirected to {response.headers.get('Location', 'nowhere')}; look at loki.url"
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) >= REFUSAL_MAX_BYTES:
            break
    return body[:REFUSAL_MAX_BYTES].decode(errors="replace").strip()


def _error_of(status: int, text: str) -> LokiError:
    message = f"Loki answered {status}: {' '.join(text.split())[:_REFUSAL_SHOWN_CHARACTERS]}"
    if status // 100 in (3, 5) or status in _TEMPORARY_STATUSES:
        return LokiUnavailableError(message, status)
    return LokiRefusedError(message, status)


def _entries_of(result: Iterable[Mapping[str, Any]]) -> list[StoredEntry]:
    return [StoredEntry(int(value[0]), value[1], stream["stream"]) for stream in result for value in stream["values"]]


def _ordered(entries: Iterable[StoredEntry]) -> list[StoredEntry]:
    """Sort by time, and drop what Loki stores twice (a batch that was sent again after its block was cut)."""
    # An answer names each set of labels once: whatever has the same has the same dictionary.
    once = {(entry.time_ns, entry.line, id(entry.labels)): entry for entry in entries}
    return sorted(once.values(), key=lambda entry: entry.time_ns)
