"""The HTTP client of Loki: pushes bodies, reads entries back. It reports what was answered and decides nothing."""

import email.utils
import logging
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import orjson

from tracetail.loki.settings import (
    ENTRIES_PER_QUERY_MAX,
    PUSH_PATH,
    QUERY_RANGE_PATH,
    READY_PATH,
    LokiSettings,
    LokiSettingsError,
)

log = logging.getLogger(__name__)

_ANSWER_MAX_BYTES = 64 * 1024


class UnreachableError(Exception):
    """No answer came, or only part of one: the request may have been carried out or not.

    The message names the setting to look at where that can be told.
    """


class QueryRefusedError(Exception):
    """Loki did not answer a query; status says how."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Loki answered {status} to a query: {text[:300]}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """What Loki answered to a push."""

    status: int
    text: str
    retry_after: float
    """Seconds; 0 if it did not say."""


class Found(NamedTuple):
    """An entry as a query returns it."""

    time_ns: int
    line: str
    labels: dict[str, str]
    """Labels of the stream and structured metadata together, as Loki merges them."""


class LokiClient:
    """One connection pool to one Loki. Use as an asynchronous context manager."""

    def __init__(self, settings: LokiSettings) -> None:
        self.settings = settings
        self._url = settings.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Raise LokiSettingsError if the settings cannot be used."""
        self.settings.check()
        # force_close would cost a connection per batch; the limit bounds what 1,000 streams open at once.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=16),
            timeout=aiohttp.ClientTimeout(total=self.settings.timeout_seconds),
            headers={"User-Agent": "tracetail-agent"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def push(self, body: bytes) -> Answer:
        """Post a body of snappy-compressed protobuf. Raises UnreachableError."""
        assert self._session is not None
        try:
            async with self._session.post(
                self._url + PUSH_PATH,
                data=body,
                headers={**self.settings.headers(), "Content-Type": "application/x-protobuf"},
                ssl=self.settings.ssl_context(),
                proxy=self.settings.proxy or None,
                allow_redirects=False,
            ) as response:
                text = ""
                if response.status != 204:
                    text = (await response.content.read(_ANSWER_MAX_BYTES)).decode(errors="replace").strip()
                return Answer(response.status, text, _retry_after(response.headers.get("Retry-After")))
        except (aiohttp.ClientError, TimeoutError, OSError, LokiSettingsError) as error:
            raise UnreachableError(self.settings.why(error)) from error

    async def ready(self) -> tuple[int, str | None]:
        """Return what Loki answers when it is asked whether it is ready: status, Date. Raises UnreachableError."""
        assert self._session is not None
        try:
            async with self._session.get(
                self._url + READY_PATH,
                headers=self.settings.headers(),
                ssl=self.settings.ssl_context(),
                proxy=self.settings.proxy or None,
            ) as response:
                return response.status, response.headers.get("Date")
        except (aiohttp.ClientError, TimeoutError, OSError, LokiSettingsError) as error:
            raise UnreachableError(self.settings.why(error)) from error

    async def entries(self, query: str, start_ns: int, end_ns: int) -> list[Found]:
        """Return every entry from start_ns to end_ns, both included, in the order of time.

        Raises UnreachableError, QueryRefusedError.
        """
        found: list[Found] = []
        seen: set[tuple[int, str]] = set()
        while True:
            page = await self._page(query, start_ns, end_ns)
            fresh = [entry for entry in page if (entry.time_ns, entry.line) not in seen]
            found += fresh
            if len(page) < ENTRIES_PER_QUERY_MAX or not fresh:
                return found
            # Page by time, inclusive of the last moment seen: Loki knows no other paging.
            start_ns = page[-1].time_ns
            seen = {(entry.time_ns, entry.line) for entry in page if entry.time_ns == start_ns}

    async def _page(self, query: str, start_ns: int, end_ns: int) -> list[Found]:
        result = await self.query_range(
            query=query,
            start=str(start_ns),
            end=str(end_ns + 1),
            limit=str(ENTRIES_PER_QUERY_MAX),
            direction="forward",
        )
        page = [
            Found(int(value[0]), value[1], stream["stream"])
            for stream in result["data"]["result"]
            for value in stream["values"]
        ]
        page.sort(key=lambda entry: entry.time_ns)
        return page

    async def query_range(self, **params: str) -> dict[str, Any]:
        """Return Loki's answer to a range query. Raises UnreachableError, QueryRefusedError."""
        assert self._session is not None
        try:
            async with self._session.get(
                self._url + QUERY_RANGE_PATH,
                params=params,
                headers=self.settings.headers(),
                ssl=self.settings.ssl_context(),
                proxy=self.settings.proxy or None,
            ) as response:
                data = await response.read()
                if response.status != 200:
                    raise QueryRefusedError(response.status, data.decode(errors="replace"))
                answer = orjson.loads(data)
        except (aiohttp.ClientError, TimeoutError, OSError, LokiSettingsError) as error:
            raise UnreachableError(self.settings.why(error)) from error
        except ValueError as error:
            raise UnreachableError(f"the answer to a query is not JSON: {error}") from error
        assert isinstance(answer, dict)
        return answer


def _retry_after(value: str | None) -> float:
    """Return the seconds that a Retry-After header asks for: a number or a date (RFC 9110, 10.2.3)."""
    if not value:
        return 0.0
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
