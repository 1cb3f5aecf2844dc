"""What `tracetail start` prints while it waits: a line for each phase, and on a terminal a line with the seconds."""

import sys
import time

import click

from tracetail.cli.terminal import Spinner
from tracetail.contract.record import Phase, Record


class Progress:
    """Prints the events of a start. A `tracetail.launcher.operations.start.Listener`."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._spinner = Spinner()

    def __call__(self, event: str, record: Record, phases: list[Phase]) -> None:
        """Print one event, and the phases that ended since the last one."""
        if event == "waiting":
            last = record.get("phases", [])[-1:]
            after = f", after: {last[0]['name']}" if last else ""
            self._spinner.show(f"{record['service']} is starting: {time.monotonic() - self._begun:.0f} s{after}")
            return
        self.clear()
        launch = f"launch {record['launchId']} of {record['service']}"
        if event == "launched":
            click.echo(f"{launch}, traceId {record['traceId']}")
            click.echo(f"log {record['logFile']}")
        elif event == "joined":
            click.echo(f"{launch} is already starting: waiting until it is ready")
        elif event == "restarting":
            click.echo(f"stopping {launch} first")
        for phase in phases:
            click.echo(f"{phase['name']} {phase['seconds']:.1f} s")
        sys.stdout.flush()

    def clear(self) -> None:
        """Remove the line with the seconds from the terminal."""
        self._spinner.clear()
