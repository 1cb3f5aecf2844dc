"""A panel: the launches and lines that its token may read, over its API (docs/panel.md)."""

import contextlib
import json
import os
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, NamedTuple, cast

from tracetail.client.cancellation import CURRENT, ended_by_cancellation
from tracetail.client.errors import LaunchNotFoundError, NotOnThisMachineError, PanelError
from tracetail.client.info import LaunchInfo
from tracetail.client.lines import LEVELS, Line, LogQuery, order
from tracetail.client.source import LaunchQuery
from tracetail.contract import shared_secret
from tracetail.contract.access import is_loopback
from tracetail.contract.port_owner import check_connection
from tracetail.contract.record import ENDED_STATES
from tracetail.contract.secret_file import read_secret

URL_VARIABLE = "TRACETAIL_PANEL_URL"
TOKEN_VARIABLE = "TRACETAIL_TOKEN"  # noqa: S105  (the name of a variable)
TOKEN_FILE_VARIABLE = "TRACETAIL_TOKEN_FILE"  # noqa: S105  (the name of a variable)
PAGE_LINES = 5000
_PAGE_LAUNCHES = 200
_TIMEOUT_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_ATTEMPTS = 30
"""Connections of a followed log that fail in a row until the panel counts as gone."""
_TOKEN_HINT = f"give token=…, {TOKEN_FILE_VARIABLE} or {TOKEN_VARIABLE}; `tracetail token` creates one"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as a failure: the token is for the host that was named."""

    def redirect_request(self, *_: object) -> None:
        """Return None: urllib then raises the redirect as an HTTPError."""


class _LocalHandler(urllib.request.HTTPHandler):
    """Sends the installation's secret to no stranger who listens in the panel's place."""

    def __init__(self, secret: str) -> None:
        """secret: the path of its file."""
        super().__init__()
        self._secret = secret

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Send a request. Raises OSError, StrangerError."""
        secret = self._secret

        class LocalConnection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                try:
                    check_connection(self.sock.getsockname()[:2], self.sock.getpeername()[:2], secret)
                except OSError:
                    self.close()
                    raise

        return self.do_open(LocalConnection, req)


class _Event(NamedTuple):
    """A server-sent event."""

    name: str
    data: Any
    id: str


class Panel:
    """Reads launches and lines from a panel."""

    def __init__(self, url: str, token: str | None, environ: Mapping[str, str]) -> None:
        """token: None for that of the environment, and for a panel of this machine the installation's secret."""
        self.url = url.rstrip("/")
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PanelError(f"{url!r} is not the address of a panel", hint="for instance https://logs.example.com")
        local = is_loopback(parts.hostname)
        self._token, secret = (token, None) if token is not None else _token_of(environ, local=local)
        if not self._token.isprintable() or not self._token.isascii():
            raise PanelError("the token holds more than one line, or characters that no token has", hint=_TOKEN_HINT)
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if local:
            handlers.append(urllib.request.ProxyHandler({}))
        if secret is not None:
            handlers.append(_LocalHandler(secret))
        self._opener = urllib.request.build_opener(*handlers)

    def info(self, launch_id: str) -> LaunchInfo:
        """Return what is known of a launch. Raises LaunchNotFoundError, PanelError."""
        return LaunchInfo.of_panel(self._get(f"/api/launches/{urllib.parse.quote(launch_id, safe='')}"))

    def find(self, query: LaunchQuery) -> list[LaunchInfo]:
        """Return launches, newest first. Raises PanelError."""
        if query.trace_id:
            found = self._get("/api/launches", traceId=query.trace_id)["launches"]
            infos = [LaunchInfo.of_panel(one) for one in reversed(found)]
            return [
                info
                for info in infos
                if query.state in ("", info.state) and (not query.before or info.launch_id < query.before)
            ][: query.limit]
        filters = {
            "q": query.text,
            "modelName": query.model,
            "state": query.state,
            "env": query.env,
            "engine": query.engine,
            "host": query.host,
        }
        given = {name: value for name, value in filters.items() if value}
        infos, before = [], query.before
        while len(infos) < query.limit:
            limit = min(_PAGE_LAUNCHES, query.limit - len(infos))
            page = self._get("/api/launches", **given, limit=limit, **({"before": before} if before else {}))
            infos += [LaunchInfo.of_panel(one) for one in page["launches"]]
            before = page.get("next", "")
            if not before:
                break
        return infos

    def logs(self, launch_id: str, query: LogQuery) -> Iterator[Line]:
        """Yield lines, oldest first. Raises LaunchNotFoundError, PanelError."""
        if query.tail is not None:
            last = list(self._newest(launch_id, query, query.tail))
            yield from last
            position = last[-1].id if last else ""
        else:
            position = query.after
            for line in self._pages(launch_id, query, position):
                yield line
                position = line.id
        if query.follow:
            yield from self._new(launch_id, query, position)

    def stop(self, launch_id: str) -> None:
        """Raise NotOnThisMachineError: a panel reads only."""
        host = self.info(launch_id).host
        hint = f"on {host or 'its machine'}: tracetail stop --launch {launch_id}"
        raise NotOnThisMachineError(
            f"launch {launch_id} runs on another machine, where alone it can be stopped", hint=hint
        )

    def panel_url(self, info: LaunchInfo) -> str:
        """Return the launch's page."""
        return page_of(self.url, info)

    def _pages(self, launch_id: str, query: LogQuery, after: str) -> Iterator[Line]:
        """Yield the stored lines behind a position, oldest first."""
        start = {"after": after} if after else {"start": str(query.since_ns or 0)}
        filters = _filters(launch_id, query)
        if query.until_ns is not None:
            filters["before"] = str(query.until_ns + 1)
        while True:
            page = self._get("/api/logs", **filters, **start, direction="forward", limit=PAGE_LINES)
            lines = [Line.of(one) for one in page["lines"]]
            yield from (line for line in lines if query.is_in_range(line))
            if not page["more"] or not lines:
                return
            start = {"after": lines[-1].id}

    def _newest(self, launch_id: str, query: LogQuery, count: int) -> list[Line]:
        """Return the newest stored lines, oldest first."""
        found: list[Line] = []
        filters = _filters(launch_id, query) | ({"start": str(query.since_ns)} if query.since_ns else {})
        end = {"before": str(query.until_ns + 1)} if query.until_ns is not None else {}
        while len(found) < count:
            limit = min(PAGE_LINES, count - len(found))
            page = self._get("/api/logs", **filters, **end, direction="backward", limit=limit)
            lines = [Line.of(one) for one in page["lines"]]
            found[:0] = lines
            if not page["more"] or not lines:
                break
            end = {"before": lines[0].id}
        return found

    def _new(self, launch_id: str, query: LogQuery, position: str) -> Iterator[Line]:
        """Yield new lines until the launch has ended, or the time is over."""
        matches = query.matcher()
        begin = order(position)  # the stream sends the trace from its start
        for event in self._events(launch_id, query):
            if event.name == "lines":
                for line in map(Line.of, event.data["lines"]):
                    if line.launch_id == launch_id and order(line.id) > begin:
                        position = max(position, line.id, key=order)
                        if query.is_in_range(line) and matches(line):
                            yield line
            elif event.name == "launches":
                states = {one["launchId"]: one["state"] for one in event.data["launches"]}
                if states.get(launch_id) in ENDED_STATES:
                    yield from self._pages(launch_id, query, position)
                    return
            elif event.name == "token-expired":
                raise PanelError("the panel's token has expired", hint=_TOKEN_HINT, status=401, code="token_expired")
            if query.until_ns is not None and time.time_ns() > query.until_ns:
                return

    def _events(self, launch_id: str, query: LogQuery) -> Iterator[_Event]:
        """Yield the events of the launch's trace; after a break from the last one on."""
        values = {"launchId": launch_id, **({"requestId": query.request_id} if query.request_id else {})}
        last, failures = "", 0
        while True:
            try:
                for event in self._stream("/api/logs/stream", values, last):
                    failures = 0
                    last = event.id or last
                    yield event
            except PanelError as error:
                failures += 1
                cancelled = (current := CURRENT.get()) is not None and current.is_cancelled
                if error.status or failures >= _ATTEMPTS or cancelled:
                    raise
            time.sleep(_RETRY_SECONDS)

    def _stream(self, path: str, values: Mapping[str, str], last: str) -> Iterator[_Event]:
        with (
            self._open(path, values, {"Last-Event-ID": last} if last else {}) as answer,
            _closed_when_cancelled(answer),
        ):
            name = identity = ""
            data: list[str] = []
            try:
                for raw in answer:
                    line = raw.decode().rstrip("\n")
                    field, _, value = line.partition(": ")
                    if not line:
                        if data:
                            yield _Event(name, json.loads("\n".join(data)), identity)
                        name, identity, data = "", "", []
                    elif field == "event":
                        name = value
                    elif field == "id":
                        identity = value
                    elif field == "data":
                        data.append(value)
            except (OSError, ValueError, HTTPException) as error:
                raise self._no_answer(error) from error

    def _get(self, path: str, **values: Any) -> Any:
        with self._open(path, {name: str(value) for name, value in values.items()}, {}) as answer:
            try:
                return json.loads(answer.read())
            except (OSError, ValueError, HTTPException) as error:
                raise self._no_answer(error) from error

    def _open(self, path: str, values: Mapping[str, str], headers: Mapping[str, str]) -> HTTPResponse:
        query = urllib.parse.urlencode(values)
        request = urllib.request.Request(  # noqa: S310  (http or https: __init__ checks)
            f"{self.url}{path}?{query}", headers={"Accept": "application/json, text/event-stream", **headers}
        )
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            return cast("HTTPResponse", self._opener.open(request, timeout=_TIMEOUT_SECONDS))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from error
        except (OSError, HTTPException) as error:
            raise self._no_answer(error) from error

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        code, message = "", f"{error.code} {error.reason}"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(error.read())["error"]
            code, message = found["code"], found["message"]
        if error.code == 404 and code:
            return LaunchNotFoundError(f"the panel {self.url} does not know {message}")
        hint = _TOKEN_HINT if error.code in (401, 403) else ""
        return PanelError(f"the panel {self.url} refused: {message}", hint=hint, status=error.code, code=code)

    def _no_answer(self, error: Exception) -> PanelError:
        reason = getattr(error, "reason", None) or error
        return PanelError(f"the panel {self.url} does not answer: {reason}", hint=f"check {URL_VARIABLE}")


def page_of(panel: str, info: LaunchInfo) -> str:
    """Return the address of a launch's page in the panel at this address."""
    query = urllib.parse.urlencode({"launchId": info.launch_id, "traceId": info.trace_id})
    return f"{panel.rstrip('/')}/panel?{query}"


def _filters(launch_id: str, query: LogQuery) -> dict[str, str]:
    filters = {"launchId": launch_id, "level": ",".join(query.levels) if query.levels != LEVELS else ""}
    if query.regex is not None or query.grep is not None:
        filters["q"] = query.regex if query.regex is not None else query.grep or ""
        filters["regex"] = "true" if query.regex is not None else "false"
        filters["case"] = "false" if query.ignore_case else "true"
    filters["requestId"] = query.request_id or ""
    return {name: value for name, value in filters.items() if value}


def _token_of(environ: Mapping[str, str], *, local: bool) -> tuple[str, str | None]:
    """Return the token of the environment, or else the installation's secret and the path of its file."""
    if path := environ.get(TOKEN_FILE_VARIABLE):
        try:
            return read_secret(TOKEN_FILE_VARIABLE, path), None
        except ValueError as error:
            raise PanelError(str(error)) from error
    if token := environ.get(TOKEN_VARIABLE):
        return token, None
    found = shared_secret.find(environ) if local else None
    return ("", None) if found is None else (read_secret("secret", os.fspath(found)), os.fspath(found))


def _closed_when_cancelled(answer: HTTPResponse) -> contextlib.AbstractContextManager[None]:
    """End a read that waits for the panel, if the operation is cancelled."""

    def shut() -> None:
        with contextlib.suppress(OSError):
            socket.socket(fileno=os.dup(answer.fileno())).shutdown(socket.SHUT_RDWR)

    return ended_by_cancellation(shut)
