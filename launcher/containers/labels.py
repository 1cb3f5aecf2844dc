"""The labels by which a container belongs to a launch, and to a state directory of this machine."""

import socket
from collections.abc import Mapping
from pathlib import Path

from tracetail.contract.record import Record

LAUNCH = "tracetail.launchId"
STATE = "tracetail.stateDir"
HOST = "tracetail.host"


def of_launch(launch: Record, state_dir: Path) -> dict[str, str]:
    """Return all labels of a launch's container."""
    return {
        **owner(launch["launchId"], state_dir),
        "tracetail.traceId": launch["traceId"],
        "tracetail.instanceId": launch["instanceId"],
        "tracetail.service": launch["service"],
    }


def owner(launch_id: str, state_dir: Path) -> dict[str, str]:
    """Return the labels by which the container of a launch is found."""
    return {LAUNCH: launch_id, **of_state(state_dir)}


def of_state(state_dir: Path) -> dict[str, str]:
    """Return the labels by which the containers of a state directory are found.

    An engine may serve several machines, or containers that each have a state directory at the same path: so the host
    belongs to it.
    """
    return {STATE: str(state_dir), HOST: socket.gethostname()}


def name(launch_id: str) -> str:
    """Return the name of a launch's container, for people: it proves nothing."""
    return f"tracetail-{launch_id}"


def launch_id(labels: Mapping[str, str]) -> str:
    """Return the launch that a container belongs to; "" if it is not labelled."""
    return labels.get(LAUNCH, "")
