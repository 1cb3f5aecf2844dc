"""The containers of launches, without their keepers: the last one of a launch, and those whose launch is gone."""

from collections.abc import Iterator
from pathlib import Path

from tracetail.contract.identity import is_launch_id
from tracetail.contract.record import LaunchDir, RecordError
from tracetail.contract.state import launches_dir
from tracetail.launcher import plan, registry
from tracetail.launcher.containers import client, ending, labels
from tracetail.launcher.containers.client import Client, Container, RuntimeProblemError

GIVE_UP_SECONDS = 5.0
"""For how long a runtime that does not answer is asked again: the keeper has done so before."""


def end(launch: LaunchDir, stop_seconds: float) -> str:
    """End and remove the container of a launch that has no keeper any more; return what is left, "" for nothing."""
    try:
        settings = plan.read(launch)["container"]
    except (OSError, ValueError, KeyError):
        return ""
    if settings is None:
        return ""
    try:
        ending.end(
            Client(settings["runtime"], settings["client"]),
            settings["labels"],
            stop_seconds,
            give_up_seconds=GIVE_UP_SECONDS,
        )
    except ending.NotEndedError as error:
        return f"container {labels.name(launch.launch_id)}: {error}"
    return ""


def forsaken(state_dir: Path) -> Iterator[tuple[Client, Container]]:
    """Yield the containers of a state directory whose launch has ended or is gone, of each runtime that answers."""
    for runtime in client.installed():
        used = Client(runtime)
        try:
            found = [used.inspect(one) for one in used.find(labels.of_state(state_dir))]
        except RuntimeProblemError:
            continue
        for container in found:
            if container is not None and not _is_live(state_dir, labels.launch_id(container.labels)):
                yield used, container


def remove(used: Client, container: Container, stop_seconds: float = GIVE_UP_SECONDS) -> bool:
    """End and remove a container that forsaken() has found; return whether it is gone."""
    own = {name: container.labels[name] for name in (labels.LAUNCH, labels.STATE, labels.HOST)}
    try:
        ending.end(used, own, stop_seconds, give_up_seconds=GIVE_UP_SECONDS)
    except ending.NotEndedError:
        return False
    return True


def _is_live(state_dir: Path, launch_id: str) -> bool:
    """Return whether a launch runs, or whether that cannot be known."""
    if not is_launch_id(launch_id):
        return True  # a label that tracetail did not write
    launch = LaunchDir(launches_dir(state_dir) / launch_id)
    try:
        found = registry.read_launch(launch)
    except FileNotFoundError:
        return launch.lock_held()
    except (OSError, ValueError, KeyError, RecordError):
        return True
    # A launch without a keeper has its container ended by the keeper that it gets.
    return found.live or found.record["state"] in registry.LIVE_STATES
