"""Client of PowerJob's online log: the fallback for a run of which Loki has no lines.

Off unless `panel.powerjob_url` is set. The log is requested only once a run is RUNNING or later: a request before its
first line exists makes PowerJob 5.1 keep that instance's log empty for good. A page has 100 lines and is up to 15 s
old.
"""

from typing import Any, NamedTuple, Self

import aiohttp

from tracetail.contract.secret_file import SecretFile
from tracetail.panel.settings import PanelSettings

PAGE_LINES = 100
_RUNNING = 3
_STATES = {1: "waiting", 2: "waiting", 3: "running", 4: "failed", 5: "succeeded", 9: "cancelled", 10: "stopped"}
_ENDED_FROM = 4
_TIMEOUT_SECONDS = 10.0
_PREPARED_LATER = "log file is being prepared, please try again later."
"""A page's whole text while the server fetches the log from the worker (InstanceLogService, 4.3.9 and 5.1.1)."""


class UnknownInstanceError(Exception):
    """PowerJob has no instance with this id."""


class PowerJobUnavailableError(Exception):
    """PowerJob cannot be reached, or answered with an error."""


class OnlineLog(NamedTuple):
    """Part of a run's online log, and the state of the run."""

    lines: list[str]
    more: bool
    state: str
    finished: bool


class PowerJob:
    """One app of one PowerJob server."""

    def __init__(self, url: str, app_id: int, token: SecretFile) -> None:
        self._url = url.rstrip("/")
        self._app_id = app_id
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_settings(cls, settings: PanelSettings) -> Self | None:
        """Return a client of the configured server, or None if none is configured. Raises SecretFileError."""
        if not settings.powerjob_url:
            return None
        token = SecretFile("panel.powerjob_token_file", settings.powerjob_token_file)
        return cls(settings.powerjob_url, settings.powerjob_app_id, token)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def lines(self, instance_id: str, from_line: int, limit: int) -> OnlineLog:
        """Return up to limit lines, starting with line number from_line (the first line is 0).

        Raises UnknownInstanceError or PowerJobUnavailableError.
        """
        if not instance_id.isdigit():
            raise UnknownInstanceError(f"instanceId {instance_id} is not known, and is no PowerJob instance id")
        status = await self._call("POST", "/openApi/fetchInstanceStatus", instanceId=instance_id)
        if not isinstance(status, int) or status not in _STATES:
            raise UnknownInstanceError(f"instanceId {instance_id} is not known to PowerJob")
        state = _STATES[status]
        if status < _RUNNING:
            return OnlineLog([], more=False, state=state, finished=False)
        lines: list[str] = []
        page, skip = divmod(from_line, PAGE_LINES)
        more = True
        while more and len(lines) < limit:
            answer = await self._call("GET", "/instance/log", instanceId=instance_id, index=page)
            text = str(answer.get("data") or "") if isinstance(answer, dict) else ""
            if text.strip() == _PREPARED_LATER:
                return OnlineLog(lines[:limit], more=len(lines) > limit, state=state, finished=False)
            page_lines = text.splitlines()
            lines += page_lines[skip:]
            page, skip = page + 1, 0
            more = isinstance(answer, dict) and page < int(answer.get("totalPages") or 0) and bool(page_lines)
        return OnlineLog(lines[:limit], more or len(lines) > limit, state, status >= _ENDED_FROM)

    async def _call(self, method: str, path: str, **parameters: Any) -> Any:
        """Return the `data` field of PowerJob's answer. Raises PowerJobUnavailableError."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        token = self._token.value.decode()
        headers = {"PowerJwt": token, "AppId": str(self._app_id)} if token else {}
        params = {"appId": str(self._app_id), **{name: str(value) for name, value in parameters.items()}}
        try:
            # The headers are for this host: a redirect is no answer.
            async with self._session.request(
                method, self._url + path, params=params, headers=headers, allow_redirects=False
            ) as response:
                answer = await response.json(content_type=None) if response.status // 100 != 3 else None
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise PowerJobUnavailableError(f"PowerJob cannot be reached: {error}") from error
        if response.status != 200 or not isinstance(answer, dict) or not answer.get("success"):
            message = answer.get("message") if isinstance(answer, dict) else response.status
            raise PowerJobUnavailableError(f"PowerJob answered: {message}")
        return answer.get("data")
