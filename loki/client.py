"""The HTTP client of Loki: pushes bodies, runs queries. It reports what Loki answers; its callers decide what to do.

The only module that knows the paths of Loki's API.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/
"""

import email.utils
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import aiohttp
import orjson

from tracetail import __version__
from tracetail.contract.connection_error import why
from tracetail.contract.http_headers import retry_after_seconds
from tracetail.contract.http_settings import HttpSettingsError
from tracetail.loki.answer_sizes import AnswerSizes
from tracetail.loki.answers import PushAnswer
from tracetail.loki.entries import Entry, columns_of, encode_metadata, encode_request
from tracetail.loki.errors import LokiError, LokiUnavailableError, error_of
from tracetail.loki.limits import ENTRIES_PER_QUERY_MAX
from tracetail.loki.local_connector import LocalConnector
from tracetail.loki.logql import count_query
from tracetail.loki.paging import Answer, E, TimeRange
from tracetail.loki.query_limits import QueryLimits, is_about_bytes_read, is_beyond_lookback, share_that_fits
from tracetail.loki.settings import LocalLokiSettings, LokiSettings

PUSH_PATH = "/loki/api/v1/push"
QUERY_RANGE_PATH = "/loki/api/v1/query_range"
QUERY_PATH = "/loki/api/v1/query"
SERIES_PATH = "/loki/api/v1/series"
READY_PATH = "/ready"

ANSWER_MAX_BYTES = 256 << 20
"""Of a query; by default Loki answers at most 100 MB (gRPC message size), the embedded store 64 MB."""
REFUSAL_MAX_BYTES = 64 << 10
"""Of an answer other than a success; what is longer is cut."""
_CHUNK_BYTES = 64 << 10
_MS = 1_000_000
T = TypeVar("T")


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
        self.limits = QueryLimits()
        self._sizes = AnswerSizes()
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Raise HttpSettingsError if the settings cannot be used."""
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
            raise error_of(answer.status, answer.text)

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

    async def answer(
        self,
        query: str,
        start_ns: int,
        end_ns: int,
        entries_of: Callable[[list[dict[str, Any]]], Sequence[E]],
        *,
        limit: int,
        backward: bool = False,
    ) -> Answer[E]:
        """Return what query_streams returns, of as many entries and as long a time range as Loki answers at once.

        entries_of: returns the entries of a result. Raises LokiError.
        """
        while True:
            start, end = self.limits.range(start_ns, end_ns, backward=backward)
            asked = min(limit, self.limits.entries, self._sizes.entries(query))
            try:
                result = await self.query_streams(query, start, end, limit=asked, backward=backward)
            except LokiError as error:
                if is_beyond_lookback(str(error)):
                    return Answer([], start, end, asked)
                if self.limits.learn(str(error)):
                    continue
                half_ns = (end - start) // 2
                if is_about_bytes_read(str(error)) and half_ns:
                    start_ns, end_ns = (end - half_ns, end) if backward else (start, start + half_ns)
                elif error.is_about_size and asked > 1:
                    self._sizes.learn_limit(str(error))
                    limit = max(1, int(asked * share_that_fits(str(error))))
                else:
                    raise
                continue
            self._sizes.learn(query, result)
            return Answer(entries_of(result), start, end, asked)

    async def entries(self, query: str, start_ns: int, end_ns: int) -> AsyncIterator[StoredEntry]:
        """Yield every entry in [start_ns, end_ns), each once, oldest first. Raises LokiError."""

        async def page(start_ns: int, end_ns: int, *, limit: int, backward: bool) -> Answer[StoredEntry]:
            return await self.answer(query, start_ns, end_ns, _entries_of, limit=limit, backward=backward)

        reading = TimeRange(page, start_ns, end_ns)
        while not reading.ended:
            for entry in _ordered(await reading.next()):
                yield entry

    async def all_entries(self, query: str, start_ns: int, end_ns: int) -> list[StoredEntry]:
        """Return every entry in [start_ns, end_ns), each once, oldest first. Raises LokiError."""
        return [entry async for entry in self.entries(query, start_ns, end_ns)]

    async def counts_over_time(
        self, query: str, start_ns: int, end_ns: int, step_ns: int, by: Iterable[str] = ()
    ) -> dict[tuple[str, ...], dict[int, int]]:
        """Return how many entries of a log query are in each step (t - step, t], t from start_ns to end_ns.

        Args:
            query: a log query.
            start_ns: the end of the first step, a multiple of the step: some Lokis evaluate at multiples only.
            end_ns: the end of the last step.
            step_ns: of whole milliseconds.
            by: labels.

        Returns:
            By the values of these labels, and by the end of the step. Steps without entries are not there.

        Raises:
            LokiError: Loki did not answer, or refused.

        """
        names = tuple(by)

        async def part(start_ns: int, end_ns: int) -> list[dict[str, Any]]:
            window_ns = self.limits.window(step_ns)
            metric = count_query(query, f"{window_ns // _MS}ms", by=names)
            if start_ns == end_ns:  # a range of one step would be one step longer than this
                vector = await self._result(QUERY_PATH, {"query": metric, "time": str(start_ns)})
                return [{"metric": item["metric"], "values": [item["value"]]} for item in vector]
            params = {"query": metric, "start": str(start_ns), "end": str(end_ns), "step": f"{window_ns / 1e9:g}"}
            return await self._result(QUERY_RANGE_PATH, params)

        def ranges() -> Iterator[tuple[int, int]]:
            window_ns = self.limits.window(step_ns)
            length_ns = self.limits.points(window_ns) * window_ns
            start = start_ns - step_ns + window_ns
            while start <= end_ns:
                yield start, min(start + length_ns - window_ns, end_ns)
                start += length_ns

        counts: dict[tuple[str, ...], dict[int, int]] = {}
        for series in (series for found in await self._divided(ranges, part) for series in found):
            steps = counts.setdefault(tuple(series["metric"].get(name, "") for name in names), {})
            for at, count in series["values"]:
                since_start = round(float(at) * 1000) * _MS - start_ns
                step = start_ns + -(-since_start // step_ns) * step_ns
                steps[step] = steps.get(step, 0) + int(float(count))
        return counts

    async def counts(self, query: str, start_ns: int, end_ns: int, by: Iterable[str] = ()) -> list[dict[str, Any]]:
        """Return how many entries of a log query are in [start_ns, end_ns], by these labels, as a vector.

        A set of labels appears as often as the time range had to be divided. Raises LokiError.
        """
        names = tuple(by)

        async def part(start_ns: int, end_ns: int) -> list[dict[str, Any]]:
            window_ms = max(1, -(-(end_ns - start_ns) // _MS))
            params = {"query": count_query(query, f"{window_ms}ms", by=names), "time": str(end_ns)}
            return await self._result(QUERY_PATH, params)

        def windows() -> Iterator[tuple[int, int]]:
            # Loki's windows exclude their beginning. All but the oldest have whole milliseconds.
            end, length = end_ns, (self.limits.length_ns // _MS - 1) * _MS
            while length > 0 and end - length > start_ns:
                yield end - length, end
                end -= length
            yield start_ns - 1, end

        return [item for found in await self._divided(windows, part) for item in found]

    async def series(self, match: str, start_ns: int, end_ns: int) -> list[dict[str, str]]:
        """Return the labels of every stream that matches and has entries in the range. Raises LokiError.

        Without the labels that Loki adds for itself (`__stream_shard__`): the shards of a stream are one.
        """

        async def part(start_ns: int, end_ns: int) -> list[dict[str, str]]:
            params = {"match[]": match, "start": str(start_ns), "end": str(end_ns)}
            found: list[dict[str, str]] = (await self._answer(SERIES_PATH, params)).get("data") or []
            return found

        parts = await self._divided(lambda: self.limits.ranges(start_ns, end_ns), part)
        once = {frozenset(labels.items()): labels for found in parts for labels in map(without_internal, found)}
        return list(once.values())

    async def _divided(
        self, ranges: Callable[[], Iterable[tuple[int, int]]], ask: Callable[[int, int], Awaitable[T]]
    ) -> list[T]:
        """Return the answers for all ranges; if Loki names a limit, for those that it leads to."""
        while True:
            found = []
            try:
                for start_ns, end_ns in ranges():
                    try:
                        found.append(await ask(start_ns, end_ns))
                    except LokiError as error:
                        if not is_beyond_lookback(str(error)):
                            raise
            except LokiError as error:
                if not self.limits.learn(str(error)):
                    raise
                continue
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
                raise error_of(response.status, await _refusal_text(response))
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
                connector=self._connector(),
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
        except (aiohttp.ClientError, TimeoutError, OSError, HttpSettingsError) as error:
            reason = why(error, "loki.url", self.url, self.settings.timeout_seconds)
            raise LokiUnavailableError(
                f"Loki at {self.url} cannot be reached: {reason}",
                sent=not isinstance(error, (aiohttp.ClientConnectorError, HttpSettingsError)),
            ) from error

    def _connector(self) -> aiohttp.TCPConnector:
        if isinstance(self.settings, LocalLokiSettings):
            return LocalConnector(
                self.settings.bearer_token_file, limit=self._connections, sends_without=not self.settings.is_store
            )
        return aiohttp.TCPConnector(limit=self._connections)


async def _refusal_text(response: aiohttp.ClientResponse) -> str:
    if 300 <= response.status < 400:
        return f"redirected to {response.headers.get('Location', 'nowhere')}; look at loki.url"
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) >= REFUSAL_MAX_BYTES:
            break
    return body[:REFUSAL_MAX_BYTES].decode(errors="replace").strip()


def without_internal(labels: Mapping[str, str]) -> dict[str, str]:
    """Return labels without those that Loki adds for itself, such as `__stream_shard__`."""
    return {name: value for name, value in labels.items() if not (name.startswith("__") and name.endswith("__"))}


def _entries_of(result: Iterable[Mapping[str, Any]]) -> list[StoredEntry]:
    found = []
    known: dict[frozenset[tuple[str, str]], dict[str, str]] = {}
    for stream in result:
        labels = without_internal(stream["stream"])
        labels = known.setdefault(frozenset(labels.items()), labels)
        found += [StoredEntry(int(value[0]), value[1], labels) for value in stream["values"]]
    return found


def _ordered(entries: Iterable[StoredEntry]) -> list[StoredEntry]:
    """Sort by time, and drop what Loki stores twice (a batch that was sent again after its block was cut)."""
    # What has the same labels in an answer has the same dictionary.
    once = {(entry.time_ns, entry.line, id(entry.labels)): entry for entry in entries}
    return sorted(once.values(), key=lambda entry: entry.time_ns)
