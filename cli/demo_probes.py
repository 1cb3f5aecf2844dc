"""What the demonstration asks of its server, panel and Loki, and of this machine."""

import contextlib
import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracetail.cli.http import open_direct
from tracetail.cli.language import both
from tracetail.contract.http_settings import HttpSettingsError
from tracetail.contract.labels import METADATA_LEVEL
from tracetail.loki import logql
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiError
from tracetail.loki.limits import ENTRIES_PER_QUERY_MAX
from tracetail.loki.settings import LokiSettings
from tracetail.panel.trace.entry import Key
from tracetail.panel.trace.reader import Reader

REQUEST_TIMEOUT_SECONDS = 30.0
LOOK_BACK_SECONDS = 3600


class DemoFailedError(Exception):
    """A step of the demonstration failed; the message says what was expected and what was found."""


async def read_lines(settings: LokiSettings, trace_id: str) -> list[tuple[str, str]]:
    """Return (level, line) of every entry of a trace in the last hour, oldest first. Raises DemoFailedError."""
    start = Key(time.time_ns() - LOOK_BACK_SECONDS * 10**9)
    try:
        async with LokiClient(settings) as loki:
            page = await Reader(loki).forward(logql.trace_query(trace_id), start, limit=ENTRIES_PER_QUERY_MAX)
    except (LokiError, HttpSettingsError) as error:
        raise DemoFailedError(str(error)) from error
    return [(entry.stream.fields.get(METADATA_LEVEL, ""), entry.text) for entry in page.entries]


def get(url: str, headers: Mapping[str, str] | None = None) -> str:
    """Return the answer to a GET. Raises DemoFailedError."""
    return _ask(urllib.request.Request(url, headers=dict(headers or {})))  # noqa: S310  (addresses of this demo)


def post(url: str, body: Any) -> str:
    """Return the answer to a POST of JSON. Raises DemoFailedError."""
    headers = {"Content-Type": "application/json"}
    return _ask(urllib.request.Request(url, json.dumps(body).encode(), headers))  # noqa: S310  (as above)


def _ask(request: urllib.request.Request) -> str:
    try:
        with open_direct(request, REQUEST_TIMEOUT_SECONDS) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")[:500]
        url = request.full_url
        raise DemoFailedError(
            both(f"{url} answered {error.code}: {text}", f"{url} 返回 {error.code}：{text}")
        ) from error
    except OSError as error:
        url = request.full_url
        raise DemoFailedError(both(f"{url} did not answer: {error}", f"{url} 没有应答：{error}")) from error


def result_of(output: str) -> dict[str, Any]:
    """Return the object of the TRACETAIL_RESULT line, the last of the output. Raises DemoFailedError."""
    last = output.rstrip().rpartition("\n")[2]
    marker, _, text = last.partition(" ")
    if marker != "TRACETAIL_RESULT":
        english = f"the last line is not TRACETAIL_RESULT: {last!r}"
        raise DemoFailedError(both(english, f"最后一行不是 TRACETAIL_RESULT：{last!r}"))
    result = json.loads(text)
    assert isinstance(result, dict)
    return result


def processes_with(variable: str) -> list[str]:
    """Return `pid command` of every other process that has variable (`NAME=value`) in its environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int(path.name) != os.getpid() and variable.encode() in (path / "environ").read_bytes().split(b"\0"):
                command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{path.name} {command.strip()}")
        except OSError:
            continue
    return found


def reserve_port(preferred: int, bound: contextlib.ExitStack, claimed: contextlib.ExitStack) -> int:
    """Return preferred, or a free port if it is in use or claimed by another demonstration. Raises DemoFailedError.

    bound keeps the port bound, until what shall listen there is started. claimed says to other demonstrations that
    the port is taken, also before something listens there: two that start at once would choose the same one.
    """
    for port in (preferred, 0):
        with contextlib.ExitStack() as attempt:
            holder = attempt.enter_context(socket.socket())
            # The names of abstract sockets belong to a network namespace, as ports do, and end with the process.
            claim = attempt.enter_context(socket.socket(socket.AF_UNIX))
            try:
                holder.bind(("127.0.0.1", port))
                chosen: int = holder.getsockname()[1]
                claim.bind(f"\0tracetail-demo-{chosen}")
            except OSError:
                continue
            attempt.pop_all()
            bound.enter_context(holder)
            claimed.enter_context(claim)
            return chosen
    raise DemoFailedError(both("there is no free port on 127.0.0.1", "127.0.0.1 上没有空闲端口"))
