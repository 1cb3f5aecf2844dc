"""What a test's report says of its server: ids as properties, and where it failed the server's lines."""

import contextlib
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tracetail.client import Launch, Line, StartError, TracetailError
from tracetail.testing import attachments
from tracetail.testing.plugin import BEGUN, SERVER
from tracetail.testing.servers import FAILED, RUNNING, StartFailed
from tracetail.testing.shared_servers import note_failure
from tracetail.testing.trace_ids import TraceIds, trace_of
from tracetail.testing.unread_output import unread_bytes

SECTION = "tracetail: the server's lines during the test"
_QUIET_SECONDS = 0.5
"""The log has grown for so long no more: the server has printed what it had to say about the failure."""
_SETTLE_SECONDS = 3.0
_UNREAD_SECONDS = 15.0
"""How long a keeper may take to read what the server has printed."""
_POLL_SECONDS = 0.02

_HAS_PROPERTIES: pytest.StashKey[bool] = pytest.StashKey()


def add_properties(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Add traceId, launchId, logFile and panelUrl to a test's properties, once they are known."""
    if item.stash.get(_HAS_PROPERTIES, False):
        return
    launch = launch_of(item)
    error = _start_error(call)
    trace = trace_of(item)
    if launch is not None:
        found = {
            "traceId": trace.trace_id if trace else launch.trace_id,
            "launchId": launch.launch_id,
            "logFile": launch.info.log_file,
            "panelUrl": page_of(launch, trace),
        }
    elif error is not None:
        found = {
            "traceId": error.trace_id,
            "launchId": error.launch_id,
            "causeCode": error.cause_code,
            "logFile": error.log_file,
            "panelUrl": error.panel_url,
        }
    else:
        return
    item.user_properties.extend((name, value) for name, value in found.items() if value)
    item.stash[_HAS_PROPERTIES] = True


def add_lines(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Add the server's lines to the report of a test that failed, and the panel's page to that of any."""
    launch = launch_of(item)
    if launch is None:
        if error := _start_error(call):
            attachments.attach_link(item, report, "panel", error.panel_url)
        return
    trace = trace_of(item)
    if report.failed:
        item.config.stash.setdefault(FAILED, set()).add(launch.launch_id)
        note_failure(item.config, launch.launch_id)
        text = _lines_of(item, launch, trace)
        report.sections.append((SECTION, text))
        attachments.attach_text(item, report, "server log", text)
    if report.when == "call" or report.failed:
        attachments.attach_link(item, report, "panel", page_of(launch, trace))


def launch_of(item: pytest.Item) -> Launch | None:
    """Return the launch that a test uses; None if there is none yet.

    A test's arguments lack it where another fixture asked for the server and then failed.
    """
    found = getattr(item, "funcargs", {}).get(SERVER) or item.config.stash.get(RUNNING, None)
    return found if isinstance(found, Launch) else None


def page_of(launch: Launch, trace: TraceIds | None) -> str:
    """Return the panel's page of a launch; of a test's trace its lines alone. Empty if no panel is known."""
    page = launch.panel_url
    return f"{page}&q={trace.trace_id}&only=1" if page and trace else page


def _start_error(call: pytest.CallInfo[None]) -> StartError | None:
    value = call.excinfo.value if call.excinfo is not None else None
    return value.error if isinstance(value, StartFailed) else None


def _lines_of(item: pytest.Item, launch: Launch, trace: TraceIds | None) -> str:
    """Return the text of the section: the server's state, its errors, then its lines."""
    _settle(launch)
    try:
        launch.refresh()
        begun = datetime.fromtimestamp(item.stash[BEGUN], UTC)
        if launch.info.ready_at is not None:
            begun = max(begun, launch.info.ready_at)
        lines = [line for line in launch.logs(since=begun) if _is_shown(line)]
    except TracetailError as error:
        return f"{_headline(launch, trace)}\nthe lines cannot be read: {error}"
    errors = [line for line in lines if line.is_error and line.kind != "event"]
    about = "lines of the server during the test"
    if trace is not None:
        lines = [line for line in lines if trace.is_about(line)]
        about = f"lines of the test's requests (trace {trace.trace_id})"
    most = int(item.config.getini("tracetail_lines"))
    parts = [_headline(launch, trace)]
    parts += _block("errors of the server during the test", errors, most, first=True) if errors else []
    parts += _block(about, lines, most) if lines else [f"no {about}"]
    return "\n".join(parts)


def _is_shown(line: Line) -> bool:
    """Return whether a line says something of the test: a progress bar and the end of the start do not."""
    return line.kind != "redraw" and not (line.kind == "event" and line.text.startswith("ready "))


def _headline(launch: Launch, trace: TraceIds | None) -> str:
    info = launch.info
    parts = [f"{info.service} is {info.state} (launch {info.launch_id}, trace {info.trace_id})"]
    if info.cause:
        parts.append(f"cause: {info.cause}")
    if info.hint:
        parts.append(f"hint: {info.hint}")
    parts += [f"evidence: {line}" for line in info.evidence]
    if page := page_of(launch, trace):
        parts.append(f"panel: {page}")
    parts.append(f"all lines: tracetail logs {info.launch_id}")
    return "\n".join(parts)


def _block(title: str, lines: list[Line], most: int, *, first: bool = False) -> list[str]:
    """Return a title and lines: of more than `most` the last ones, of errors the first, which began it."""
    shown = (lines[:most] if first else lines[-most:]) if most else []
    which = f" (the {'first' if first else 'last'} {len(shown)} of {len(lines)})" if len(shown) < len(lines) else ""
    return [f"{title}{which}:", *(f"  {line}" for line in shown)]


def _settle(launch: Launch) -> None:
    """Wait until the server has printed what it prints about the failure: its lines may come behind its answer."""
    deadline = time.monotonic() + _UNREAD_SECONDS
    while unread_bytes(launch.launch_id) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    path = Path(launch.info.log_file)
    size, since = -1, time.monotonic()
    deadline = since + _SETTLE_SECONDS
    while launch.info.log_file and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if size != (size := path.stat().st_size):
                since = time.monotonic()
        if time.monotonic() - since >= _QUIET_SECONDS:
            return
        time.sleep(_POLL_SECONDS)
