"""The Python client: starts inference servers, and reads their launches and lines, here or from a panel."""

from collections.abc import Sequence
from typing import Unpack

from tracetail.client.async_client import AsyncClient, AsyncLaunch, AsyncTrace
from tracetail.client.client import Client, Trace
from tracetail.client.errors import (
    CommandError,
    LaunchNotFoundError,
    NotOnThisMachineError,
    PanelError,
    StartError,
    StopError,
    TracetailError,
    WaitTimeoutError,
)
from tracetail.client.info import LaunchInfo, Phase
from tracetail.client.launch_handle import Launch
from tracetail.client.lines import Level, Line, LogFilters, Moment
from tracetail.client.ports import free_port
from tracetail.client.start_params import ContainerParams, SmokeParams, StartParams

__all__ = [
    "AsyncClient",
    "AsyncLaunch",
    "AsyncTrace",
    "Client",
    "CommandError",
    "ContainerParams",
    "Launch",
    "LaunchInfo",
    "LaunchNotFoundError",
    "Level",
    "Line",
    "LogFilters",
    "Moment",
    "NotOnThisMachineError",
    "PanelError",
    "Phase",
    "SmokeParams",
    "StartError",
    "StartParams",
    "StopError",
    "Trace",
    "TracetailError",
    "WaitTimeoutError",
    "find",
    "free_port",
    "launch",
    "start",
    "traces",
]


def start(*, wait: bool = True, **params: Unpack[StartParams]) -> Launch:
    """Start a server on this machine, as `Client.start` of a client with the defaults. Raises StartError."""
    return Client().start(wait=wait, **params)


def launch(launch_id: str) -> Launch:
    """Return a launch by its id, as `Client.launch`. Raises LaunchNotFoundError, PanelError."""
    return Client().launch(launch_id)


def find(text: str = "", *, model: str = "", state: str = "", trace_id: str = "", limit: int = 50) -> list[Launch]:
    """Return launches, newest first, as `Client.find`. Raises PanelError."""
    return Client().find(text, model=model, state=state, trace_id=trace_id, limit=limit)


def traces(*, model: str = "", state: str = "", limit: int = 50) -> Sequence[Trace]:
    """Return traces, newest first, as `Client.traces`. Raises PanelError."""
    return Client().traces(model=model, state=state, limit=limit)
