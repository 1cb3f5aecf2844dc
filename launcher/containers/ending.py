"""Ends and removes a launch's container, and proves it: no container carries the launch's labels afterwards."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tracetail.launcher.containers.client import Client, Container, RuntimeProblemError

AGAIN_SECONDS = 1.0
"""How long to wait until a runtime that did not answer is asked again."""
LOOK_SECONDS = 0.3
REMOVE_SECONDS = 60.0
"""For how long a container that cannot be killed or removed is tried again."""


class Ended(NamedTuple):
    """How a container ended."""

    container: Container | None
    """What the runtime said of it last; None if there was none."""
    was_running: bool
    """It ran when its end was asked for."""
    away_seconds: float
    """For how long the runtime did not answer."""
    was_removed: bool = False
    """Somebody else was about to remove it when its end was asked for."""


class NotEndedError(Exception):
    """A container is left; the message says which, and why."""


def end(
    client: Client,
    labels: Mapping[str, str],
    stop_seconds: float,
    *,
    give_up_seconds: float | None = None,
    report: Callable[[RuntimeProblemError | None], None] = lambda _: None,
) -> Ended:
    """Stop every container with these labels, kill what does not stop, remove it, and look again.

    Args:
        client: of the runtime.
        labels: those of the launch.
        stop_seconds: from SIGTERM to SIGKILL.
        give_up_seconds: for how long a runtime that does not answer is asked again; None: until it answers.
        report: called with the problem as long as the runtime does not answer, then with None.

    Raises NotEndedError.

    """
    away_since: float | None = None
    away = 0.0
    failing_since: float | None = None
    last: Container | None = None
    running: bool | None = None
    removed = False
    while True:
        try:
            ids = client.find(labels)
            found = [one for one in map(client.inspect, ids) if one is not None]
            if running is None and (found or not ids):
                running = any(one.running for one in found)
                removed = any(one.removing for one in found)
            for one in found:
                last = _end_one(client, one, stop_seconds) or last
            if away_since is not None:
                away, away_since = away + time.monotonic() - away_since, None
                report(None)
            failing_since = None
            if not ids:
                return Ended(last, bool(running), away, removed)
            if not found:  # a daemon that starts may list what it does not know yet
                time.sleep(AGAIN_SECONDS)
        except RuntimeProblemError as problem:
            now = time.monotonic()
            if problem.kind == "failed":
                failing_since = failing_since or now
                if now - failing_since > REMOVE_SECONDS:
                    raise NotEndedError(problem.cause) from problem
            else:
                away_since, failing_since = away_since or now, None
                report(problem)
                if give_up_seconds is not None and now - away_since >= give_up_seconds:
                    raise NotEndedError(problem.cause) from problem
            time.sleep(AGAIN_SECONDS)


def seconds_away(
    client: Client, within: float, report: Callable[[RuntimeProblemError | None], None], give_up_seconds: float | None
) -> float:
    """Return for how long a runtime does not answer that may be going down; 0.0 if it answers all the time.

    dockerd ends its containers first, and answers for a while after that.

    Args:
        client: of the runtime.
        within: seconds in which it would go down.
        report: called with the problem as long as the runtime does not answer, then with None.
        give_up_seconds: for how long it is asked again; None: until it answers.

    """
    began = time.monotonic()
    away_since: float | None = None
    while True:
        now = time.monotonic()
        try:
            client.check()
        except RuntimeProblemError as problem:
            away_since = away_since or now
            report(problem)
            if give_up_seconds is not None and now - away_since >= give_up_seconds:
                return now - away_since
        else:
            if away_since is not None:
                report(None)
                return now - away_since
            if now - began >= within:
                return 0.0
        time.sleep(LOOK_SECONDS if away_since is None else AGAIN_SECONDS)


def _end_one(client: Client, container: Container, stop_seconds: float) -> Container | None:
    """End and remove a container; return its last state."""
    if container.paused:
        client.unpause(container.id)
    if container.running:
        client.stop(container.id, stop_seconds)
        container = client.inspect(container.id) or container._replace(running=False)
    if container.running:
        client.kill(container.id)
        container = client.inspect(container.id) or container._replace(running=False)
    client.remove(container.id)
    return container
