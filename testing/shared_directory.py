"""The directory in which the workers of pytest-xdist agree on their servers.

Every run with workers makes one, also where no test uses a server: nothing is imported here that costs time.
"""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from tracetail.testing.plugin import SHARED_DIRECTORY

_INPUT = "tracetail_shared"


def prepare(node: Any) -> None:
    """Make the directory, if there is none, and name it to a worker that is about to begin."""
    config: pytest.Config = node.config
    if (config.getoption("--tracetail-xdist") or config.getini("tracetail_xdist")) != "shared":
        return
    if SHARED_DIRECTORY not in config.stash:
        config.stash[SHARED_DIRECTORY] = Path(tempfile.mkdtemp(prefix="tracetail-pytest-"))
    node.workerinput[_INPUT] = str(config.stash[SHARED_DIRECTORY])


def named_directory(config: pytest.Config) -> Path | None:
    """Return the directory that was named to this worker; None if there is none, or this is no worker."""
    found = getattr(config, "workerinput", {}).get(_INPUT)
    return Path(found) if found else None


def directory_of(request: pytest.FixtureRequest) -> Path | None:
    """Return the directory in which the workers agree on the server; None if it is of this process alone."""
    return named_directory(request.config) if request.scope == "session" else None
