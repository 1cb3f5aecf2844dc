"""One server for all workers of pytest-xdist: the first that needs it starts it."""

import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tracetail.client import Client, Launch, StartError, StopError, TracetailError
from tracetail.testing.kept_servers import keeps, where
from tracetail.testing.parameters import with_defaults
from tracetail.testing.plugin import SHARED_DIRECTORY, kept
from tracetail.testing.shared_directory import named_directory

_FAILED = "failed-"
_ERROR_FIELDS = (
    *("service", "cause", "hint", "evidence", "cause_code", "exit_status"),
    *("launch_id", "trace_id", "log_file", "panel_url"),
)


def start(directory: Path, client: Client, params: Mapping[str, Any]) -> Launch:
    """Return the launch of the workers' server with these parameters; the first worker starts it.

    Raises StartError: in every worker the one of the first.
    """
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode()).hexdigest()[:16]
    path = directory / f"server-{digest}.json"
    with _locked(directory / f"lock-{digest}"):
        if path.exists():
            known = json.loads(path.read_text(encoding="utf-8"))
            if "launch_id" in known:
                return client.launch(known["launch_id"])
            raise StartError(**known["error"])
        try:
            launch = client.start(**with_defaults(params))
        except StartError as error:
            fields = {name: getattr(error, name) for name in _ERROR_FIELDS}
            path.write_text(json.dumps({"error": fields}), encoding="utf-8")
            raise
        path.write_text(json.dumps({"launch_id": launch.launch_id, "reused": launch.reused}), encoding="utf-8")
        return launch


def note_failure(config: pytest.Config, launch_id: str) -> None:
    """Note that a failed test has used a server that is shared."""
    directory = named_directory(config)
    if directory is not None:
        (directory / f"{_FAILED}{launch_id}").touch()


def stop_all(config: pytest.Config) -> None:
    """Stop the servers of the workers, but for those that failed tests have used, if they are to be kept."""
    directory = config.stash[SHARED_DIRECTORY]
    client = Client()
    for path in directory.glob("server-*.json"):
        known = json.loads(path.read_text(encoding="utf-8"))
        if "launch_id" not in known or known["reused"]:
            continue
        launch_id = known["launch_id"]
        with contextlib.suppress(TracetailError):
            launch = client.launch(launch_id)
            if keeps(config) and (directory / f"{_FAILED}{launch_id}").exists():
                kept(config).append(where(launch))
            else:
                _stop(launch, kept(config))
    shutil.rmtree(directory, ignore_errors=True)


def _stop(launch: Launch, left: list[str]) -> None:
    try:
        launch.stop()
    except StopError as error:
        left += [where(launch), *str(error).splitlines()]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that the workers share; a worker that dies gives it back."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
