"""Sends a callback: composes it, puts it into the outbox, and tries to deliver it for some seconds.

    python -I -m tracetail.launcher.callbacks <launchDir> <event or "deliver">

Runs as a child of the keeper, which must stay small and must not wait. The agent delivers later what it cannot.
"""

import json
import os
import sys
import time
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from tracetail.contract import masking, outbox, robots
from tracetail.contract.access import is_loopback
from tracetail.contract.backoff import Backoff
from tracetail.contract.http_headers import basic, bearer
from tracetail.contract.logline import MARK_EVENT, parse_line
from tracetail.contract.masking import mask_lines, mask_text
from tracetail.contract.owned_files import open_ours
from tracetail.contract.record import LaunchDir, Record
from tracetail.contract.secret_file import read_secret
from tracetail.launcher import plan

DELIVER = "deliver"
"""In place of an event: deliver what is in the outbox."""
TRY_SECONDS = 10.0
REQUEST_SECONDS = 5.0
TAIL_LINES = 50
_TAIL_BYTES = 64 * 1024
_ANSWER_MAX = 4096


def body(record: Record, event: str, tail: list[str]) -> dict[str, Any]:
    """Return the JSON body of a callback, without masking. tail: the server's last lines."""
    server = record.get("server")
    segments = record.get("segments") or [record.get("logFile", "")]
    return {
        "model": record["modelName"],
        "port": record.get("port"),
        "pid": server["pid"] if server else None,
        "log_file": segments[0],
        "event": event,
        "eventId": uuid.uuid4().hex,
        "traceId": record["traceId"],
        "instanceId": record["instanceId"],
        "launchId": record["launchId"],
        "jobId": record.get("jobId", ""),
        "env": record["env"],
        "host": record["host"],
        "state": record["state"],
        "phases": record.get("phases", []),
        "exit": record.get("exit"),
        "health": record.get("health"),
        "tail": tail,
    }


def tail_of(segments: list[str], count: int = TAIL_LINES) -> list[str]:
    """Return the last lines that the server printed, without stamp and prefix, secrets masked.

    segments: paths of the log's segments, in order.
    """
    texts: list[bytes] = []
    for path in reversed(segments):
        try:
            with os.fdopen(open_ours(Path(path)), "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL_BYTES))
                parsed = [parse_line(line) for line in file.read().split(b"\n")]
        except OSError:
            continue
        texts = [line.text for line in parsed if line is not None and line.mark != MARK_EVENT] + texts
        if len(texts) >= count:
            break
    return mask_lines(text.decode(errors="replace") for text in texts[-count:])


def masked(value: Any) -> Any:
    """Return a JSON value with the secrets in all its strings masked."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    return value


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Treats a redirect as a failure: the callback, and its token, are for the host of the URL."""

    def redirect_request(self, *_: object) -> None:
        """Return None: urllib then raises the redirect as an HTTPError."""


def post(callback: outbox.Callback) -> None:
    """Deliver a callback. Raises OSError (as urllib's errors are) or ValueError if it is not delivered."""
    secret = read_secret("callbackTokenFile", callback["tokenFile"]) if callback["tokenFile"] else ""
    wanted = robots.request(callback["url"], callback["body"], secret, time.time())
    parts = urllib.parse.urlsplit(wanted.url)
    headers = {"Content-Type": "application/json", "User-Agent": "tracetail"}
    if secret and not wanted.robot:
        headers |= bearer(secret)
    elif parts.username is not None:
        headers |= basic(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    data = json.dumps(wanted.body).encode()
    request = urllib.request.Request(url, data, headers, method="POST")  # noqa: S310  (http and https only: params)
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if is_loopback(parts.hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    with urllib.request.build_opener(*handlers).open(request, timeout=REQUEST_SECONDS) as answer:
        refused = robots.refusal(answer.read(_ANSWER_MAX)) if wanted.robot else ""
    if refused:
        raise ValueError(f"the robot answered {refused}")


def deliver(path: Path, until: float) -> bool:
    """Try to deliver the callback in a file, until a time of the monotonic clock; return whether it is delivered."""
    backoff = Backoff()
    while True:
        with outbox.claim(path) as callback:
            if callback is None:
                return not path.exists()
            try:
                post(callback)
            except (OSError, ValueError):
                callback["attempts"] += 1
                outbox.put(path.parent, callback)
            else:
                path.unlink()
                return True
        wait = backoff.wait()
        if time.monotonic() + wait >= until:
            return False
        time.sleep(wait)


def prepare(launch: LaunchDir, event: str, url: str, token_file: str, *, state: str = "") -> Path:
    """Put a callback about a launch into its outbox; return its file. state: if it differs from the record's."""
    record = launch.read()
    content = body(record, event, tail_of(record.get("segments", [])))
    content["state"] = state or content["state"]
    callback: outbox.Callback = {
        "url": url,
        "tokenFile": token_file,
        "createdAt": time.time(),
        "attempts": 0,
        "body": masked(content),
    }
    return outbox.put(launch.outbox_path, callback)


def main() -> int:
    """Report an event of the launch whose directory is given, or deliver its outbox."""
    launch = LaunchDir(Path(sys.argv[1]))
    if sys.argv[2] == DELIVER:
        paths = outbox.pending(launch.outbox_path)
    else:
        settings = plan.read(launch)
        masking.use(settings["redaction"])
        paths = [prepare(launch, sys.argv[2], settings["callbackUrl"], settings["callbackTokenFile"])]
    for path in paths:
        deliver(path, time.monotonic() + TRY_SECONDS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
