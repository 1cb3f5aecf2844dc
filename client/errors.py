"""What may go wrong, in words that can be read aloud: the cause, what to do, the evidence, and where to look."""

from collections.abc import Sequence


class TracetailError(Exception):
    """Something that was asked of tracetail did not succeed. `hint` says what to do about it, or is empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, and the hint on a line of its own."""
        return "\n".join([*self.args[:1], *([f"hint: {self.hint}"] if self.hint else [])])


class CommandError(TracetailError):
    """A command of tracetail ended without its answer; the message quotes what it printed."""


class LaunchNotFoundError(TracetailError):
    """There is no such launch on this machine, or none that the panel's token may read."""


class NotOnThisMachineError(TracetailError):
    """A launch can be stopped only on the machine that it runs on."""


class WaitTimeoutError(TracetailError, TimeoutError):
    """A launch did not reach the state that was waited for in time; it goes on."""


class StopError(TracetailError):
    """Something of a launch is left, or another operation is running."""


class PanelError(TracetailError):
    """The panel did not answer, or refused a request.

    status: of HTTP; 0 without an answer. code: of the panel's answer, as `not_found`.
    """

    def __init__(self, message: str, *, hint: str = "", status: int = 0, code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class StartError(TracetailError):
    """A server was not started, or ended before it was ready.

    Its text has everything that a person needs: cause, hint, evidence, the log and the panel's page.
    """

    def __init__(
        self,
        service: str,
        cause: str,
        *,
        hint: str = "",
        evidence: Sequence[str] = (),
        cause_code: str = "",
        exit_status: int = 0,
        launch_id: str = "",
        trace_id: str = "",
        log_file: str = "",
        panel_url: str = "",
    ) -> None:
        super().__init__(f"{service or 'the server'} did not start: {cause}", hint=hint)
        self.service = service
        self.cause = cause
        self.evidence = tuple(evidence)
        """The lines of the log that name the cause, secrets masked."""
        self.cause_code = cause_code
        """As in docs/causes.md; stable."""
        self.exit_status = exit_status
        """Of `tracetail start`: 2 bad parameters, 10 exited, 11 not ready in time, 12 port held, 15 preflight."""
        self.launch_id = launch_id
        """Empty if the start was refused before there was a launch."""
        self.trace_id = trace_id
        self.log_file = log_file
        self.panel_url = panel_url
        """The launch's page; empty if no panel is known."""

    def __str__(self) -> str:
        """Return cause, hint, evidence, and where all lines are."""
        lines = [super().__str__(), *(f"evidence: {line}" for line in self.evidence)]
        if self.launch_id:
            lines.append(f"all lines: tracetail logs {self.launch_id}")
        if self.log_file:
            lines.append(f"log: {self.log_file}")
        if self.panel_url:
            lines.append(f"panel: {self.panel_url}")
        return "\n".join(lines)
