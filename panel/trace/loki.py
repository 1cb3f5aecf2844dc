"""Talks to Loki: the HTTP of it. What the answers mean for a trace is tracetail.panel.trace.reader's concern."""

import io
from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
import orjson

from tracetail.loki.settings import (
    ENTRIES_PER_QUERY_MAX,
    PUSH_PATH,
    QUERY_PATH,
    QUERY_RANGE_PATH,
    READY_PATH,
    SERIES_PATH,
    LokiSettings,
    LokiSettingsError,
)
from tracetail.panel.trace.entry import Entry, entries_from

_SHOWN_OF_A_REFUSAL = 300


class LokiError(Exception):
    """Loki did not do what was asked; the message says what it answered."""


class LokiUnavailableError(LokiError):
    """Loki cannot be reached, or answered that it cannot serve now: the same request may succeed later."""


class LokiRefusedError(LokiError):
    """Loki refuses this request and would again."""


class LokiClient:
    """One Loki, asked and pushed to over a shared set of connections."""

    def __init__(self, settings: LokiSettings) -> None:
        self._settings = settings
        self._base = settings.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self.requests = 0
        """How many requests were sent, for the panel's metrics."""

    @property
    def keeps_metadata(self) -> bool:
        """Whether levels, processes and kinds of lines are there; without them there are lines and their times."""
        return self._settings.structured_metadata

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def entries(
        self, query: str, start_ns: int, end_ns: int, *, limit: int = ENTRIES_PER_QUERY_MAX, backward: bool = False
    ) -> list[Entry]:
        """Return entries in [start_ns, end_ns), at most limit of them, from the start or from the end."""
        params = {
            "query": query,
            "start": str(start_ns),
            "end": str(end_ns),
            "limit": str(limit),
            "direction": "backward" if backward else "forward",
        }
        return entries_from((await self._get(QUERY_RANGE_PATH, params))["result"])

    async def matrix(self, query: str, start_ns: int, end_ns: int, step_ns: int) -> list[dict[str, Any]]:
        """Return the result of a metric query over time."""
        params = {"query": query, "start": str(start_ns), "end": str(end_ns), "step": f"{step_ns / 1e9:g}"}
        result: list[dict[str, Any]] = (await self._get(QUERY_RANGE_PATH, params))["result"]
        return result

    async def vector(self, query: str, time_ns: int) -> list[dict[str, Any]]:
        """Return the result of a metric query at one time."""
        result: list[dict[str, Any]] = (await self._get(QUERY_PATH, {"query": query, "time": str(time_ns)}))["result"]
        return result

    async def series(self, match: str, start_ns: int, end_ns: int) -> list[dict[str, str]]:
        """Return the labels of every stream that matches and has entries in the range."""
        params = {"match[]": match, "start": str(start_ns), "end": str(end_ns)}
        found: list[dict[str, str]] = await self._get(SERIES_PATH, params) or []
        return found

    async def push(self, labels: Mapping[str, str], values: Iterable[tuple[int, str, Mapping[str, str]]]) -> None:
        """Push entries (time, line, structured metadata) of one stream. Raises LokiError unless all are stored."""
        with_metadata = self._settings.structured_metadata
        body = {
            "streams": [
                {
                    "stream": dict(labels),
                    "values": [
                        [str(time_ns), line, dict(metadata)] if with_metadata and metadata else [str(time_ns), line]
                        for time_ns, line, metadata in values
                    ],
                }
            ]
        }
        # Only 204 means stored: Loki's 260 is a 2xx that discards.
        await self._send("POST", PUSH_PATH, data=io.BytesIO(orjson.dumps(body)), success=204)

    async def ready(self) -> bool:
        """Say whether Loki answers that it is ready."""
        try:
            await self._send("GET", READY_PATH)
        except LokiError:
            return False
        return True

    async def _get(self, path: str, params: Mapping[str, str]) -> Any:
        answer = orjson.loads(await self._send("GET", path, params=params))
        return answer.get("data")

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: io.BytesIO | None = None,
        success: int = 200,
    ) -> bytes:
        session = self._connected()
        self.requests += 1
        try:
            headers = self._settings.headers() | ({"Content-Type": "application/json"} if data is not None else {})
            async with session.request(
                method,
                self._base + path,
                params=params,
                data=data,
                headers=headers,
                ssl=self._settings.ssl_context(),
                proxy=self._settings.proxy or None,
            ) as response:
                body = await response.read()
                status = response.status
        except (TimeoutError, aiohttp.ClientError, LokiSettingsError) as error:
            raise LokiUnavailableError(
                f"Loki at {self._base} cannot be reached: {error or type(error).__name__}"
            ) from error
        if status == success:
            return body
        shown = body[:_SHOWN_OF_A_REFUSAL].decode(errors="replace").strip()
        if status == 429 or status >= 500 or status in (401, 403):
            raise LokiUnavailableError(f"Loki answered {status}: {shown}")
        raise LokiRefusedError(f"Loki answered {status}: {shown}")

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_seconds),
                connector=aiohttp.TCPConnector(limit=64),
                auto_decompress=True,
            )
        return self._session
