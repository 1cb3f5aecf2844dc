"""Where launches are read from: this machine, or a panel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tracetail.client.info import LaunchInfo
from tracetail.client.lines import Line, LogQuery


@dataclass(frozen=True, slots=True)
class LaunchQuery:
    """Which launches are wanted: those that meet every condition that is given."""

    text: str = ""
    """Contained in an id, the service, the state, the engine or the cause, whatever the case."""
    model: str = ""
    state: str = ""
    env: str = ""
    engine: str = ""
    host: str = ""
    trace_id: str = ""
    limit: int = 50
    """At most so many, the newest."""
    before: str = ""
    """Only those that began before this launch: the last one of a page."""


class Source(Protocol):
    """What a launch is read from."""

    def info(self, launch_id: str) -> LaunchInfo:
        """Return what is known now. Raises LaunchNotFoundError, PanelError."""

    def find(self, query: LaunchQuery) -> list[LaunchInfo]:
        """Return launches, newest first. Raises PanelError."""

    def logs(self, launch_id: str, query: LogQuery) -> Iterator[Line]:
        """Yield lines, oldest first. Raises CommandError, PanelError."""

    def stop(self, launch_id: str) -> None:
        """Stop a launch. Raises StopError, NotOnThisMachineError."""

    def panel_url(self, info: LaunchInfo) -> str:
        """Return the address of the launch's page in the panel; empty if no panel is known."""
