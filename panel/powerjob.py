"""Client of PowerJob's online log: the fallback for a run of which Loki has no lines.

Off unless `panel.powerjob_url` is set. What it expects was seen on a PowerJob 5.1.1 (tests/data/powerjob):

- The state of a run comes from the OpenAPI, its log from the console. Each has a login of its own, whose token lasts
  some days.
- A log that is requested before its first line has reached the server becomes empty for good. Workers send lines
  every 5 s.
- A page has 100 lines and is up to 10 s old. So the last lines come up to 15 s after the end of a run.
"""

import asyncio
import email.utils
import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import aiohttp

from tracetail.contract.secret_file import SecretFile, SecretFileError
from tracetail.panel.settings import PanelSettings

PAGE_LINES = 100
_RUNNING = 3
_STATES = {1: "waiting", 2: "waiting", 3: "running", 4: "failed", 5: "succeeded", 9: "cancelled", 10: "stopped"}
_ENDED_FROM = 4
_TIMEOUT_SECONDS = 10.0
_INSTANCE_ID_MAX = (1 << 63) - 1
_FIRST_LINES_SECONDS = 10.0
"""How long after its start a run's log is not requested."""
_LAST_LINES_SECONDS = 20.0
"""How long after its end a run's log may grow."""
_PREPARED_LATER = "log file is being prepared, please try again later."
"""A page's whole text while the server fetches the log from the worker (InstanceLogService, 4.3.9 and 5.1.1)."""
_NO_LOG = "SYSTEM: There is no online log for this job instance."
_LOG_FAILED = "oms-server execution exception, caused by "
_UNKNOWN_INSTANCE = "invalid instanceId"
_NOT_LOGGED_IN = "-100"


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


class _Answer(NamedTuple):
    """What PowerJob answered: the JSON object, and the headers."""

    content: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def time(self) -> float:
        """The server's clock when it answered, in seconds since 1970; ours if it does not say."""
        try:
            return email.utils.parsedate_to_datetime(self.headers["Date"]).timestamp()
        except (KeyError, ValueError):
            return time.time()

    def data(self, of: str = "") -> Any:
        """Return the result. Raises UnknownInstanceError or PowerJobUnavailableError."""
        if self.content.get("success"):
            return self.content.get("data")
        message = str(self.content.get("message"))
        if _UNKNOWN_INSTANCE in message:
            raise UnknownInstanceError(f"PowerJob: {message}")
        raise PowerJobUnavailableError(f"PowerJob answered: {message}{of}")


class _Http:
    """Requests to one server."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, method: str, path: str, headers: Mapping[str, str], **content: Any) -> _Answer:
        """content: `params` of the URL, or `json`. Raises PowerJobUnavailableError."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        try:
            # The headers are for this host: a redirect is no answer.
            async with self._session.request(
                method, self._url + path, headers=headers, allow_redirects=False, **content
            ) as response:
                if response.status != 200:
                    raise PowerJobUnavailableError(f"PowerJob answered: {response.status}")
                answer = await response.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise PowerJobUnavailableError(f"PowerJob cannot be reached: {error or 'no answer in time'}") from error
        if not isinstance(answer, dict):
            raise PowerJobUnavailableError("PowerJob answered no JSON object")
        return _Answer(answer, response.headers)


class _Login(ABC):
    """The headers that authenticate requests of one kind: made by a login, and anew when they are refused."""

    _remedy: str
    """What to do about a refusal where there are no credentials."""

    def __init__(self, http: _Http, name: str, password: SecretFile) -> None:
        self._http = http
        self._name = name
        self._password = password
        self._headers: dict[str, str] = {}
        self._lock = asyncio.Lock()

    async def ask(self, method: str, path: str, params: Mapping[str, str]) -> _Answer:
        """Return the answer to an authenticated request. Raises PowerJobUnavailableError."""
        headers = await self._current()
        answer = await self._send(method, path, params, headers)
        if self._is_refused(answer):
            if not self._name:
                raise PowerJobUnavailableError(f"PowerJob answered: {answer.content.get('message')}; {self._remedy}")
            answer = await self._send(method, path, params, await self._current(refused=headers))
        return answer

    async def _send(self, method: str, path: str, params: Mapping[str, str], headers: Mapping[str, str]) -> _Answer:
        # The console looks for the app in a header, to decide what a user may see.
        return await self._http.ask(method, path, {"AppId": params["appId"], **headers}, params=params)

    async def _current(self, refused: Mapping[str, str] | None = None) -> dict[str, str]:
        """Log in if that has not been done, or if nobody has since these headers were refused."""
        async with self._lock:
            if self._name and (not self._headers or self._headers is refused):
                self._headers = await self._log_in()
            return self._headers

    @abstractmethod
    async def _log_in(self) -> dict[str, str]: ...

    @abstractmethod
    def _is_refused(self, answer: _Answer) -> bool: ...


class _OpenApi(_Login):
    """The login of an app (`oms.auth.openapi.enable=true`, PowerJob 5)."""

    _remedy = "set panel.powerjob_app_name and powerjob_app_password_file"
    app_id = 0

    async def _log_in(self) -> dict[str, str]:
        # MD5 as PowerJob's own client: the token, which anyone can read, holds what was sent.
        digest = hashlib.md5(self._password.value, usedforsecurity=False).hexdigest()
        body = {"appName": self._name, "encryptedPassword": digest, "encryptType": "md5"}
        data = (await self._http.ask("POST", "/openApi/authApp", {}, json=body)).data(f" for app {self._name}")
        self.app_id = int(data["appId"])
        return {"X-POWERJOB-APP-ID": str(self.app_id), "X-POWERJOB-ACCESS-TOKEN": str(data["token"])}

    def _is_refused(self, answer: _Answer) -> bool:
        return answer.headers.get("X-POWERJOB-AUTH-PASSED") == "false"


class _Console(_Login):
    """The login of a user."""

    _remedy = "set panel.powerjob_user and powerjob_password_file"

    async def _log_in(self) -> dict[str, str]:
        origin = json.dumps({"username": self._name, "password": self._password.value.decode()})
        body = {"loginType": "PWJB", "originParams": origin}
        answer = await self._http.ask("POST", "/auth/thirdPartyLoginDirect", {}, json=body)
        return {"PowerJwt": str(answer.data(f" for user {self._name}")["jwtToken"])}

    def _is_refused(self, answer: _Answer) -> bool:
        return answer.content.get("code") == _NOT_LOGGED_IN


class PowerJob:
    """One app of one PowerJob server."""

    def __init__(self, settings: PanelSettings) -> None:
        self._http = _Http(settings.powerjob_url)
        self._app_id = settings.powerjob_app_id
        app_password = _password("powerjob_app", settings.powerjob_app_name, settings.powerjob_app_password_file)
        self._app = _OpenApi(self._http, settings.powerjob_app_name, app_password)
        password = _password("powerjob", settings.powerjob_user, settings.powerjob_password_file)
        self._console = _Console(self._http, settings.powerjob_user, password)

    @classmethod
    def from_settings(cls, settings: PanelSettings) -> Self | None:
        """Return a client of the configured server, or None if none is configured. Raises SecretFileError."""
        return cls(settings) if settings.powerjob_url else None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def lines(self, instance_id: str, from_line: int, limit: int) -> OnlineLog:
        """Return up to limit lines, starting with line number from_line (the first line is 0).

        Raises UnknownInstanceError or PowerJobUnavailableError.
        """
        if not (instance_id.isascii() and instance_id.isdigit() and int(instance_id) <= _INSTANCE_ID_MAX):
            raise UnknownInstanceError(f"instanceId {instance_id} is not known, and is no PowerJob instance id")
        answer = await self._app.ask(
            "POST", "/openApi/fetchInstanceInfo", {"appId": str(self._app_id), "instanceId": instance_id}
        )
        run = answer.data()
        app_id = self._app.app_id or self._app_id
        if not isinstance(run, dict) or run.get("status") not in _STATES or run.get("appId") != app_id:
            raise UnknownInstanceError(f"instanceId {instance_id} is not known to PowerJob's app {app_id}")
        status = run["status"]
        if status < _RUNNING or answer.time - _seconds(run, "actualTriggerTime") < _FIRST_LINES_SECONDS:
            return OnlineLog([], more=False, state=_STATES[status], finished=False)
        ended = status >= _ENDED_FROM and answer.time - _seconds(run, "finishedTime") >= _LAST_LINES_SECONDS
        lines: list[str] = []
        page, skip = divmod(from_line, PAGE_LINES)
        more = True
        while more and len(lines) < limit:
            pages, page_lines = await self._page(instance_id, page)
            if page_lines is None:
                return OnlineLog(lines[:limit], more=len(lines) > limit, state=_STATES[status], finished=False)
            lines += page_lines[skip:]
            page, skip = page + 1, 0
            more = page < pages and bool(page_lines)
        return OnlineLog(lines[:limit], more or len(lines) > limit, _STATES[status], ended)

    async def _page(self, instance_id: str, index: int) -> tuple[int, list[str] | None]:
        """Return the number of pages, and the lines of one; None while the server prepares them.

        Raises PowerJobUnavailableError.
        """
        app_id = str(self._app.app_id or self._app_id)
        params = {"appId": app_id, "instanceId": instance_id, "index": str(index)}
        data = (await self._console.ask("GET", "/instance/log", params)).data()
        text = str(data.get("data") or "") if isinstance(data, dict) else ""
        notice = text.strip()
        if notice == _PREPARED_LATER:
            return 0, None
        if notice.startswith(_LOG_FAILED):
            raise PowerJobUnavailableError(f"PowerJob answered: {notice}")
        if not text or notice == _NO_LOG:
            return 0, []
        # Not splitlines(): the server counts lines by LF, CR and CR LF alone, and writes each with LF.
        return int(data.get("totalPages") or 0), text.removesuffix("\n").split("\n")


def _password(setting: str, name: str, path: str) -> SecretFile:
    """Return the password that goes with a name. Raises SecretFileError."""
    if name and not path:
        raise SecretFileError(f"panel.{setting}_password_file is not set: the password of {name}")
    return SecretFile(f"panel.{setting}_password_file", path)


def _seconds(run: Mapping[str, Any], key: str) -> float:
    """Return a time of a run in seconds since 1970; 0 if there is none."""
    value = run.get(key)
    return value / 1000 if isinstance(value, int) else 0.0
