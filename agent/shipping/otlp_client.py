"""The HTTP client of an OTLP receiver: posts encoded requests, and returns what it answers."""

from types import TracebackType
from typing import Self

import aiohttp
import cramjam

from tracetail import __version__
from tracetail.agent.otlp_settings import OtlpSettings
from tracetail.agent.shipping.otlp_answers import PROTOBUF, ExportAnswer, answer_of
from tracetail.contract.connection_error import why
from tracetail.contract.http_headers import retry_after_seconds
from tracetail.contract.http_settings import HttpSettingsError

ANSWER_MAX_BYTES = 64 << 10
_GZIP_LEVEL = 1
"""Level 4 makes requests an eighth smaller for five times the CPU time."""
_CONNECTIONS = 16


class ReceiverUnavailableError(Exception):
    """The receiver did not answer; the message has its address, the reason, and the setting to check."""


class OtlpClient:
    """A connection pool to one receiver, to be used as a context manager. Connects at the first request."""

    def __init__(self, settings: OtlpSettings) -> None:
        self.settings = settings
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Raise HttpSettingsError if the settings cannot be used."""
        self.settings.check_client()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=self.settings.timeout_seconds),
            headers={"User-Agent": f"tracetail/{__version__}", "Content-Type": PROTOBUF},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def export(self, request: bytes) -> ExportAnswer:
        """Post an encoded ExportLogsServiceRequest. Raises ReceiverUnavailableError without an answer."""
        settings = self.settings
        headers = {}
        if settings.compression == "gzip":
            request = bytes(cramjam.gzip.compress(request, level=_GZIP_LEVEL))
            headers["Content-Encoding"] = "gzip"
        try:
            async with self._session.post(
                settings.url,
                data=request,
                headers={**settings.request_headers(), **headers},
                ssl=settings.ssl_context(),
                proxy=settings.proxy or None,
                allow_redirects=False,  # credentials are for the host that otlp.endpoint names
            ) as response:
                body = await _read(response)
                wait = retry_after_seconds(response.headers.get("Retry-After"))
                return answer_of(response.status, response.headers.get("Content-Type", ""), body, wait)
        except (aiohttp.ClientError, TimeoutError, OSError, HttpSettingsError) as error:
            reason = why(error, "otlp.endpoint", settings.endpoint, settings.timeout_seconds)
            raise ReceiverUnavailableError(
                f"the OTLP receiver at {settings.url} cannot be reached: {reason}"
            ) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer, as much as is looked at."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(ANSWER_MAX_BYTES):
        body += chunk
        if len(body) >= ANSWER_MAX_BYTES:
            break
    return bytes(body[:ANSWER_MAX_BYTES])
