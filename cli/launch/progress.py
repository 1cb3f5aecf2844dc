"""What `tracetail start` prints while it waits: a line for each phase, and on a terminal a line with the seconds."""

import sys
import time
from pathlib import Path

import click

from tracetail.cli.language import both
from tracetail.cli.launch.panel_link import warn_without_agent
from tracetail.cli.terminal import Spinner, is_terminal
from tracetail.cli.words import phase_word
from tracetail.contract.record import Phase, Record


class Progress:
    """Prints the events of a start. A `tracetail.launcher.operations.start.Listener`."""

    def __init__(self, state_dir: Path) -> None:
        """state_dir: where earlier starts of the same model are looked for, which say how long this one will take."""
        self._state_dir = state_dir
        self._begun = time.monotonic()
        self._spinner = Spinner()
        self._expected: float | None = None

    def __call__(self, event: str, record: Record, phases: list[Phase]) -> None:
        """Print one event, and the phases that ended since the last one."""
        if event == "waiting":
            self._show_waiting(record)
            return
        self.clear()
        service, launch_id = record["service"], record["launchId"]
        launch = both(f"launch {launch_id} of {service}", f"{service} 的启动 {launch_id}")
        if event == "launched":
            click.echo(both(f"{launch}, traceId {record['traceId']}", f"{launch}，traceId {record['traceId']}"))
            click.echo(both(f"log {record['logFile']}", f"日志 {record['logFile']}"))
            warn_without_agent()
        elif event == "joined":
            click.echo(
                both(f"{launch} is already starting: waiting until it is ready", f"{launch} 已在启动：等待它就绪")
            )
        elif event == "restarting":
            click.echo(both(f"stopping {launch} first", f"先停止 {launch}"))
        if event in ("launched", "joined") and is_terminal():
            from tracetail.launcher.start_history import expected_seconds

            self._expected = expected_seconds(self._state_dir, record)
        for phase in phases:
            seconds = f"{phase['seconds']:.1f}"
            click.echo(f"{phase_word(phase['name'])} {seconds} " + both("s", "秒"))
        sys.stdout.flush()

    def _show_waiting(self, record: Record) -> None:
        last = record.get("phases", [])[-1:]
        ended = phase_word(last[0]["name"]) if last else ""
        after = both(f", after: {ended}", f"，上一阶段：{ended}") if last else ""
        service, seconds = record["service"], time.monotonic() - self._begun
        if self._expected is None:
            text = both(
                f"{service} is starting: {seconds:.0f} s{after}", f"{service} 正在启动：{seconds:.0f} 秒{after}"
            )
            self._spinner.show(text)
        else:
            english = f"{service} is starting: {seconds:.0f} s of about {self._expected:.0f} s{after}"
            chinese = f"{service} 正在启动：{seconds:.0f} 秒，预计约 {self._expected:.0f} 秒{after}"
            self._spinner.show(both(english, chinese), min(seconds / self._expected, 1.0) if self._expected else 1.0)

    def clear(self) -> None:
        """Remove the line with the seconds from the terminal."""
        self._spinner.clear()
