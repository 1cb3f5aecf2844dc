"""Starts the server of a fixture, and stops it; one that does not start fails the test, in words for people."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tracetail.client import Client, Launch, StartError, TracetailError
from tracetail.testing import shared_servers
from tracetail.testing.kept_servers import keeps, where
from tracetail.testing.parameters import parameters, with_defaults
from tracetail.testing.plugin import kept
from tracetail.testing.shared_directory import directory_of

LAST_LINES = 20

FAILED: pytest.StashKey[set[str]] = pytest.StashKey()
"""The launches that failed tests have used."""
RUNNING: pytest.StashKey[Launch] = pytest.StashKey()
"""The launch of the fixture, while it has one."""


class StartFailed(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """The outcome of a test whose server did not start."""

    __module__ = "builtins"  # as of pytest's own: the summary has the name alone

    def __init__(self, message: str, error: StartError) -> None:
        super().__init__(message, pytrace=False)
        self.error = error


def serve(request: pytest.FixtureRequest) -> Iterator[Launch]:
    """Yield the launch of a running server for a request of the fixture, and stop the server behind it."""
    params = parameters(request)
    shared = directory_of(request)
    launch = _start(shared, params)
    request.config.stash[RUNNING] = launch
    try:
        yield launch
    finally:
        del request.config.stash[RUNNING]
        if shared is None and not launch.reused:
            if keeps(request.config) and launch.launch_id in request.config.stash.get(FAILED, set()):
                kept(request.config).append(where(launch))
            else:
                launch.stop()


def _start(shared: Path | None, params: dict[str, Any]) -> Launch:
    """Return the launch of a server that is ready; fail the test if there is none."""
    failure: TracetailError
    try:
        client = Client()
        return shared_servers.start(shared, client, params) if shared else client.start(**with_defaults(params))
    except TracetailError as error:
        failure = error
    # Outside of the handler, so that the report has one error and not also the one that it was made of.
    if isinstance(failure, StartError):
        _fail(failure)
    pytest.fail(str(failure), pytrace=False)


def _fail(error: StartError) -> NoReturn:
    """Fail the test with everything that is known of a start."""
    parts = [str(error)]
    if error.launch_id:
        with contextlib.suppress(TracetailError):
            launch = Client().launch(error.launch_id)
            lines = [line for line in launch.logs(tail=LAST_LINES) if line.kind != "event"]
            if lines:
                parts += ["last lines of the server:", *(f"  {line}" for line in lines)]
            else:
                parts.append("the server has printed nothing")
    raise StartFailed("\n".join(parts), error)
