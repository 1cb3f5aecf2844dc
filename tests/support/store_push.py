"""Puts lines into the store of a machine, as an agent of another machine would, and makes tokens for its panel."""

import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from support.machine import Machine

EVENT = {"kind": "event", "level": "info"}


def push(machine: Machine, labels: Mapping[str, str], *entries: tuple[int, str, Mapping[str, str]]) -> None:
    """Store lines: nanoseconds, text and metadata."""
    values: list[Any] = [[str(time_ns), text, metadata] for time_ns, text, metadata in entries]
    body = json.dumps({"streams": [{"stream": labels, "values": values}]}).encode()
    secret = (machine.state / "secret").read_text(encoding="utf-8").strip()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {secret}"}
    request = urllib.request.Request(f"{machine.addresses['store']}/loki/api/v1/push", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204


def token_of(machine: Machine, trace_id: str) -> str:
    """Return a token of the panel for a trace."""
    run = machine.tracetail("token", "--trace-id", trace_id)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip().splitlines()[-1]
