"""A small HTTP client of the server under test, which sends the ids of the test's trace."""

import json as json_format
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tracetail.testing.trace_ids import TraceIds

TIMEOUT_SECONDS = 300.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy of the environment does not reach the server under test."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer of the server, whatever its status."""

    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """Return the answer's JSON. Raises ValueError."""
        return json_format.loads(self.text)

    def __repr__(self) -> str:
        """Return the status and the beginning of the text: what an assertion that failed shows."""
        return f"<Response {self.status}: {self.text[:200]}>"


class InferenceClient:
    """Sends requests to the server under test."""

    def __init__(self, url: str, trace: TraceIds | None) -> None:
        """url: of the server. trace: of the test; None for requests without ids."""
        self.url = url
        self._trace = trace

    @property
    def trace_id(self) -> str:
        """The id of the test's trace; empty without the marker `trace`."""
        return self._trace.trace_id if self._trace else ""

    def headers(self) -> dict[str, str]:
        """Return the headers that carry the test's ids, for another client, as OpenAI(default_headers=…)."""
        return self._trace.headers() if self._trace else {}

    def get(
        self, path: str, *, headers: Mapping[str, str] | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> Response:
        """Send a GET request. Raises OSError if there is no answer."""
        return self.request("GET", path, headers=headers, timeout=timeout)

    def post(
        self,
        path: str,
        json: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Response:
        """Send a POST request with a JSON body. Raises OSError if there is no answer."""
        return self.request("POST", path, json, headers=headers, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT_SECONDS,
    ) -> Response:
        """Send a request and return the answer, whatever its status. Raises OSError if there is none.

        path: as /v1/chat/completions. json: the body, or None. timeout: in seconds, for each wait.
        """
        body = None if json is None else json_format.dumps(json).encode()
        own = {"Content-Type": "application/json"} if body is not None else {}
        request = urllib.request.Request(  # noqa: S310  (the address is that of the launch)
            f"{self.url}{path}", body, {**own, **self.headers(), **(headers or {})}, method=method
        )
        try:
            with _DIRECT.open(request, timeout=timeout) as answer:
                return Response(answer.status, dict(answer.headers), answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Response(error.code, dict(error.headers), error.read().decode(errors="replace"))
