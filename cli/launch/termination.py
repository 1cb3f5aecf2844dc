"""A signal during a start: the command stops the launch that it has made, and reports that."""

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from tracetail.cli.language import both
from tracetail.cli.terminal import has_terminal
from tracetail.contract.record import ENDED_STATES, STOPPED, STOPPING, LaunchDir, Phase, Record
from tracetail.contract.state import launches_dir
from tracetail.launcher.result import OK, Result

STOP_SEEN_SECONDS = 2.0
"""How long a keeper may take to record that it was asked to stop."""
Listener = Callable[[str, Record, list[Phase]], None]


class TerminatedError(BaseException):
    """A signal that ends the start arrived."""


class Termination:
    """Turns SIGTERM into a TerminatedError, and knows what it interrupts.

    SIGINT means the same from a scheduler (Nomad's default): only at a terminal somebody may have pressed Ctrl-C.

    It is the listener of a start, and hands all events on. While the launch is made, from `launching` to `launched`,
    the signal is kept: otherwise a launch could be left behind that nobody knows of.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._making = False
        self._pending = False
        self._signal = signal.SIGTERM
        self._own = ""
        self._other = ""
        self._replacing = False
        """The other launch is stopped, to be replaced."""

    def install(self) -> None:
        """Handle the signals from now on."""
        self._handle(self._on_signal)

    def ignore(self) -> None:
        """Ignore the signals from now on: the result is known, and only has to be printed."""
        self._handle(signal.SIG_IGN)

    def _handle(self, handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
        signal.signal(signal.SIGTERM, handler)
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN and not has_terminal():
            signal.signal(signal.SIGINT, handler)

    def __call__(self, event: str, record: Record, phases: list[Phase]) -> None:
        """Note what is being started. Raises TerminatedError if SIGTERM arrived while the launch was made."""
        if event == "launching":
            self._making = True
            return
        if event in ("joined", "restarting"):
            self._other, self._replacing = record["launchId"], event == "restarting"
        if event == "launched":
            self._own = record["launchId"]
        self._listener(event, record, phases)
        if event == "launched":
            self._making = False
            if self._pending:
                raise TerminatedError

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number)
        if self._making:
            self._pending = True
        else:
            raise TerminatedError

    def end(self, action: str, state_dir: Path) -> Result:
        """Stop the launch that the start has made, and return the result. A launch of somebody else goes on."""
        self.ignore()
        name = self._signal.name
        ended = Result(action, 128 + self._signal)
        if not self._own:
            what, what_zh = "nothing was started", "没有启动任何服务"
            if self._other and self._replacing and _is_stopped(self._other, state_dir):
                what = f"launch {self._other}, which it was to replace, is stopped, and no other was started"
                what_zh = f"它要替换的启动 {self._other} 正在停止或已停止，没有启动新的"
            elif self._other:
                what = f"launch {self._other} is another command's and goes on"
                what_zh = f"启动 {self._other} 属于另一个命令，继续进行"
            cause, cause_zh = f"ended by {name}: {what}", f"被 {name} 结束：{what_zh}"
            _print(both(f"\n{cause}", f"\n{cause_zh}"))
            hint, hint_zh = "`tracetail ps` shows what runs", "`tracetail ps` 可查看正在运行的服务"
            return ended._replace(cause=cause, hint=hint, zh=(cause_zh, hint_zh))
        _print(both(f"\nended by {name}: stopping launch {self._own}", f"\n被 {name} 结束：正在停止启动 {self._own}"))
        return _stopped(ended, name, self._own, state_dir)


def _is_stopped(launch_id: str, state_dir: Path) -> bool:
    """Return whether a launch has ended or is about to, of which a stop may have begun a moment ago."""
    from tracetail.launcher import registry

    deadline = time.monotonic() + STOP_SEEN_SECONDS
    while True:
        state = registry.read_launch(LaunchDir(launches_dir(state_dir) / launch_id)).state
        if state == STOPPING or state in ENDED_STATES:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def _stopped(ended: Result, name: str, launch_id: str, state_dir: Path) -> Result:
    from tracetail.launcher import registry
    from tracetail.launcher.operations import stop

    launch = registry.read_launch(LaunchDir(launches_dir(state_dir) / launch_id))
    stopped = stop.stop_launch(launch)
    changed: dict[str, Any] = {"record": stopped.record, "state": stopped.state, "seconds": stopped.seconds}
    if stopped.status != OK:
        zh = (f"被 {name} 结束；{stopped.zh[0]}", stopped.zh[1])
        return ended._replace(cause=f"ended by {name}; {stopped.cause}", hint=stopped.hint, zh=zh, **changed)
    if stopped.state != STOPPED:
        return ended._replace(**changed)  # it had failed by itself: the record has the cause
    seconds = f"{stopped.seconds:.1f}"
    _print(both(f"stopped launch {launch_id} in {seconds} s", f"已停止启动 {launch_id}，用时 {seconds} 秒"))
    zh = (f"被 {name} 结束：启动 {launch_id} 已停止", "")
    return ended._replace(cause=f"ended by {name}: launch {launch_id} was stopped", zh=zh, **changed)


def _print(text: str) -> None:
    """Print a line if there is still a reader: whoever sends SIGTERM may have closed the pipe with it."""
    with contextlib.suppress(OSError):
        click.echo(text)
