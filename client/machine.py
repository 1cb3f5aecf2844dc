"""The launches of this machine: records are read, and the command does the rest."""

import contextlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tracetail.client.command import Commands, Finished, StartCommand
from tracetail.client.errors import CommandError, LaunchNotFoundError, StartError, StopError
from tracetail.client.info import LaunchInfo
from tracetail.client.lines import Line, LogQuery, order
from tracetail.client.panel import page_of
from tracetail.client.source import LaunchQuery
from tracetail.contract.identity import is_launch_id
from tracetail.contract.record import ENDED_STATES, READY, STARTING, STOPPING, UNHEALTHY, LaunchDir, RecordError
from tracetail.contract.state import STATE_DIR_VARIABLE, existing_state_dirs, launches_dir, state_dir

_BEGINNING = "2000-01-01"
_STATES = (STARTING, READY, UNHEALTHY, STOPPING, *sorted(ENDED_STATES))
_SEARCHED = ("launch_id", "service", "state", "engine", "trace_id", "instance_id", "cause", "cause_zh", "cause_code")


class Machine:
    """Starts, stops and reads the launches of this machine."""

    def __init__(self, environ: Mapping[str, str], config: str | None, panel: str) -> None:
        """config: the configuration file, or None. panel: the address of the panel, if one is named."""
        self._environ = environ
        self._commands = Commands(environ, config)
        self._panel = panel

    def start(self, params: Mapping[str, Any]) -> StartCommand:
        """Begin a start."""
        return self._commands.start(params)

    def started(self, finished: Finished) -> tuple[str, bool, str]:
        """Return launchId, whether it ran already, and the panel's page, of a start. Raises StartError."""
        result = finished.result()
        if finished.status:
            raise StartError(
                result.get("service", ""),
                result.get("cause") or f"tracetail start ended with status {finished.status}",
                hint=result.get("hint", ""),
                evidence=result.get("evidence", ()),
                cause_code=result.get("causeCode", ""),
                exit_status=finished.status,
                launch_id=result.get("launchId", ""),
                trace_id=result.get("traceId", ""),
                log_file=result.get("logFile", ""),
                panel_url=result.get("panelUrl", ""),
            )
        return result["launchId"], bool(result.get("reused")), result.get("panelUrl", "")

    def has(self, launch_id: str) -> bool:
        """Return whether it is a launch of this machine."""
        return self._directory(launch_id) is not None

    def info(self, launch_id: str) -> LaunchInfo:
        """Return what the record says. Raises LaunchNotFoundError."""
        directory = self._directory(launch_id)
        if directory is None:
            searched = ", ".join(str(path) for path in self._state_dirs())
            raise LaunchNotFoundError(
                f"there is no launch {launch_id} on this machine",
                hint=f"looked in {searched or 'no state directory'}",
            )
        try:
            return _read(LaunchDir(directory))
        except (OSError, RecordError) as error:
            raise LaunchNotFoundError(f"launch {launch_id} cannot be read: {error}") from error

    def find(self, query: LaunchQuery) -> list[LaunchInfo]:
        """Return launches, newest first. Raises ValueError for a state that no launch has."""
        if query.state and query.state not in _STATES:
            raise ValueError(f"state is {query.state!r}: expected one of {', '.join(_STATES)}")
        found: list[LaunchInfo] = []
        for directory in sorted(self._directories(), key=lambda path: path.name, reverse=True):
            if len(found) >= query.limit:
                break
            if query.before and directory.name >= query.before:
                continue
            with contextlib.suppress(OSError, RecordError, KeyError):
                info = _read(LaunchDir(directory))
                if _matches(info, query):
                    found.append(info)
        return found

    def logs(self, launch_id: str, query: LogQuery) -> Iterator[Line]:
        """Yield lines from this machine's files, secrets masked, oldest first. Raises CommandError."""
        if query.tail is not None and query.until_ns is not None:
            yield from deque(self.logs(launch_id, replace(query, tail=None)), maxlen=query.tail)
            return
        for printed in self._commands.lines("logs", "--launch", launch_id, "--local", "--json", *_options(query)):
            try:
                line = Line.of(json.loads(printed))
            except (ValueError, KeyError) as error:
                raise CommandError(f"tracetail logs printed {printed[:200]!r}, which is no line") from error
            if query.until_ns is not None and line.time_ns > query.until_ns:
                return
            if query.is_in_range(line):
                yield line

    def stop(self, launch_id: str) -> None:
        """Stop a launch and every process of it. Raises StopError."""
        finished = self._commands.run("stop", "--launch", launch_id, "--json")
        if finished.status:
            result = finished.result()
            cause = result.get("cause") or f"tracetail stop ended with status {finished.status}"
            raise StopError(f"launch {launch_id} did not stop: {cause}", hint=result.get("hint", ""))

    def panel_url(self, info: LaunchInfo) -> str:
        """Return the launch's page; empty if the environment names no panel."""
        return page_of(self._panel, info) if self._panel else ""

    def _state_dirs(self) -> list[Path]:
        first = state_dir(self._environ)
        named = self._environ.get(STATE_DIR_VARIABLE)
        return [first] if named else list(dict.fromkeys((first, *existing_state_dirs(self._environ))))

    def _directories(self) -> Iterator[Path]:
        for state in self._state_dirs():
            with contextlib.suppress(OSError):
                names = os.listdir(launches_dir(state))  # noqa: PTH208
                yield from (launches_dir(state) / name for name in names if is_launch_id(name))

    def _directory(self, launch_id: str) -> Path | None:
        if not is_launch_id(launch_id):
            return None
        paths = (launches_dir(state) / launch_id for state in self._state_dirs())
        return next((path for path in paths if (path / "record.json").exists()), None)


def _read(launch: LaunchDir) -> LaunchInfo:
    record = launch.read()
    return LaunchInfo.of_record(record, launch.effective_state(record))


def _matches(info: LaunchInfo, query: LaunchQuery) -> bool:
    pairs = (
        (query.model, info.model_name),
        (query.state, info.state),
        (query.env, info.env),
        (query.engine, info.engine),
        (query.host, info.host),
        (query.trace_id, info.trace_id),
    )
    if any(wanted and wanted != has for wanted, has in pairs):
        return False
    text = query.text.casefold()
    return not text or any(text in getattr(info, name).casefold() for name in _SEARCHED)


def _options(query: LogQuery) -> Iterator[str]:
    """Yield the options of `tracetail logs` for a query."""
    since = _BEGINNING
    since_ns = max(query.since_ns or 0, order(query.after)[0])
    if since_ns > 0:
        since = datetime.fromtimestamp(since_ns // 1000 / 1e6, UTC).isoformat()
    yield f"--since={since}"
    for name, value in (
        ("level", query.level),
        ("grep", query.grep),
        ("regex", query.regex),
        ("request-id", query.request_id),
        ("tail", query.tail),
    ):
        if value is not None:
            yield f"--{name}={value}"
    if query.ignore_case:
        yield "--ignore-case"
    if query.follow:
        yield "--follow"
