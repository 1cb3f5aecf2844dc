"""Waits for an equal start of the same service that is under way, so that this one returns its result."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tracetail.contract.identity import is_launch_id
from tracetail.contract.processes import read_process
from tracetail.contract.record import LaunchDir
from tracetail.contract.state import launches_dir
from tracetail.launcher import params as parameters
from tracetail.launcher import registry
from tracetail.launcher.params import Params

POLL_SECONDS = 0.05
UNNAMED_SECONDS = 10.0
"""How long a lock may be held by an operation that has not written yet what it does, on a busy machine."""


class Turn(NamedTuple):
    """The operation that may start the service now."""

    operation: registry.Operation
    started: LaunchDir | None
    """The launch of the equal start that was waited for; None if there was none, or if it was refused."""


@contextlib.contextmanager
def turn(params: Params, state_dir: Path, service: str) -> Iterator[Turn]:
    """Hold the service's lock; wait for it while an equal start holds it. Raises registry.BusyError for any other."""
    doing = {
        "action": "start",
        "traceId": params.trace_id,
        "start": parameters.start_digest(parameters.to_object(params)),
    }
    begun = time.monotonic()
    waited = False
    while True:
        try:
            with registry.operation_lock(state_dir, service, doing) as operation:
                yield Turn(operation, _started(operation, doing, state_dir) if waited else None)
                return
        except registry.BusyError as busy:
            seconds = time.monotonic() - begun
            if _equal(busy.holder, doing):
                waited = True
                limit = params.ready_timeout_sec
            else:
                limit = 0.0 if _is_written(busy.holder) else UNNAMED_SECONDS
            if seconds >= limit:
                raise
            time.sleep(POLL_SECONDS)


def _is_written(holder: dict[str, Any]) -> bool:
    """Return whether what a lock's file says is of its holder, and not of one before that has ended."""
    pid = holder.get("pid")
    return isinstance(pid, int) and read_process(pid) is not None


def _equal(holder: dict[str, Any], doing: dict[str, Any]) -> bool:
    """Return whether the holder of a lock starts the same server, in a trace that suits."""
    same = all(holder.get(name) == doing[name] for name in ("action", "start"))
    return same and doing["traceId"] in ("", holder.get("traceId"))


def _started(operation: registry.Operation, doing: dict[str, Any], state_dir: Path) -> LaunchDir | None:
    launch_id = operation.previous.get("launchId")
    if not _equal(operation.previous, doing) or not isinstance(launch_id, str) or not is_launch_id(launch_id):
        return None
    launch = LaunchDir(launches_dir(state_dir) / launch_id)
    return launch if launch.record_path.exists() else None
