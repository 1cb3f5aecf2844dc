"""Launches on record that never ran: for commands that only read records."""

from pathlib import Path
from typing import Any

from tracetail.contract.record import SCHEMA, LaunchDir, LaunchLock

STARTED_AT = "2026-11-27T10:00:00.000000+00:00"


def write_launch(state_dir: Path, launch_id: str, **fields: Any) -> LaunchDir:
    """Write the record of a launch that has ended, with these fields of it, and return its directory."""
    path = state_dir / "launches" / launch_id
    path.mkdir(parents=True)
    launch = LaunchDir(path)
    record: Any = {
        "schema": SCHEMA,
        "launchId": launch_id,
        "traceId": "trace-1",
        "instanceId": "run-1",
        "service": "test/m",
        "env": "test",
        "modelName": "m",
        "engine": "custom",
        "host": "node-1",
        "logFile": str(path / "m.log"),
        "state": "failed",
        "phases": [],
        "startedAt": STARTED_AT,
        "endedAt": STARTED_AT,
        **fields,
    }
    with LaunchLock(launch) as lock:
        lock.write(record)
    return launch
