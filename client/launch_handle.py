"""A launch: its state, its lines, and its end."""

import contextlib
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Literal, Self, Unpack

from tracetail.client.command import StartCommand
from tracetail.client.errors import StartError, TracetailError, WaitTimeoutError
from tracetail.client.info import LaunchFacts, LaunchInfo
from tracetail.client.lines import Line, LogFilters, query_of
from tracetail.client.machine import Machine
from tracetail.client.notebook import launch_html
from tracetail.client.source import Source

POLL_SECONDS = 0.1
_NOTEBOOK_LINES = 20
_REAP_SECONDS = 10.0


class Launch(LaunchFacts):
    """One start of one inference server, on this machine or as a panel knows it.

    What it says of the launch is that of its last look: `refresh`, `wait` and `stop` look again. As a context manager
    it stops the server at the end, unless the start found it running.
    """

    def __init__(
        self,
        source: Source,
        info: LaunchInfo,
        *,
        panel_url: str = "",
        reused: bool = False,
        starting: tuple[Machine, StartCommand] | None = None,
    ) -> None:
        """starting: the start that still runs. Launches come from `start`, `launch` and `find` of a client."""
        self._source = source
        self._starting = starting
        self._panel_url = panel_url
        self._info = info
        self.reused = reused
        """Whether the start found the server running, with these parameters."""

    @property
    def info(self) -> LaunchInfo:
        """What the last look found."""
        return self._info

    @property
    def panel_url(self) -> str:
        """The launch's page in the panel, without a token; empty if no panel is known."""
        return self._panel_url or self._source.panel_url(self.info)

    def refresh(self) -> Self:
        """Look again. Raises LaunchNotFoundError, PanelError."""
        self._info = self._source.info(self.launch_id)
        return self

    def wait(self, timeout: float | None = None, *, until: Literal["ready", "ended"] = "ready") -> Self:
        """Wait until the server is ready, or until it has ended.

        Args:
            timeout: in seconds; None for as long as the start may take (`ready_timeout_sec`), or for ever.
            until: `ended` to wait for the server's end, whatever it is.

        Raises:
            StartError: it ended before it was ready.
            WaitTimeoutError: it goes on.
            ValueError: `until` is none of these.

        """
        if until not in ("ready", "ended"):
            raise ValueError(f"until is {until!r}: expected ready or ended")
        deadline = None if timeout is None else time.monotonic() + timeout
        if until == "ready" and self._starting is not None:
            machine, start = self._starting
            finished = start.finished(timeout)
            self._starting = None
            _, self.reused, self._panel_url = machine.started(finished)
            return self.refresh()
        while True:
            self.refresh()
            if self.info.has_ended:
                if until == "ready" and self.info.ready_at is None:
                    raise self._start_error()
                return self
            if until == "ready" and self.info.is_ready:
                return self
            if deadline is not None and time.monotonic() >= deadline:
                message = f"launch {self.launch_id} is {self.state} after {timeout:g} s"
                raise WaitTimeoutError(message, hint="it goes on: wait again, or stop it")
            time.sleep(POLL_SECONDS)

    def stop(self) -> Self:
        """Stop the server and every process of it; does nothing if it has ended. Raises StopError."""
        self._source.stop(self.launch_id)
        if self._starting is not None:
            with contextlib.suppress(WaitTimeoutError):
                self._starting[1].finished(_REAP_SECONDS)  # the start ends with its launch: nobody may wait for it
        return self.refresh()

    def logs(self, **filters: Unpack[LogFilters]) -> Iterator[Line]:
        """Yield the lines of the log, oldest first, as the agent ships them: with levels, secrets masked.

        filters: which lines; all that are given count. With `follow` new lines too, until the launch has ended.

        Raises CommandError, PanelError.
        """
        return self._source.logs(self.launch_id, query_of(filters))

    def __enter__(self) -> Self:
        """Wait until the server is ready."""
        if self._starting is not None:
            self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server if this start made it."""
        if not self.reused:
            self.stop()

    def __repr__(self) -> str:
        """Return state, service and ids."""
        return f"<Launch {self.launch_id} of {self.info.service or self.model_name}: {self.state}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: state, cause, phases and the last lines."""
        try:
            self.refresh()
            lines = list(self.logs(tail=_NOTEBOOK_LINES))
        except TracetailError:
            lines = []  # what is known is shown all the same
        return launch_html(self.info, lines, self.panel_url)

    def _start_error(self) -> StartError:
        info = self.info
        return StartError(
            info.service,
            info.cause or f"it has {info.state}",
            hint=info.hint,
            evidence=info.evidence,
            cause_code=info.cause_code,
            launch_id=info.launch_id,
            trace_id=info.trace_id,
            log_file=info.log_file,
            panel_url=self.panel_url,
        )
