"""Why a server ended: how its process did, and the root cause that its log names."""

from typing import NamedTuple

from tracetail.launcher.engines import signals
from tracetail.launcher.engines.causes.cause import Text

KNOWN = "known"
UNRECOGNISED = "unrecognised"
SIGNALS_MAX = 64
"""The highest number of a signal of Linux; a higher status is the program's own: ssh and docker exec end with 255."""
SHELL_SIGNAL = 128
"""A shell, or a container's runtime, ends with 128 and the number of the signal that ended its process."""


class End(NamedTuple):
    """How the server's process ended."""

    code: int | None = None
    signal: str | None = None
    """The name of the signal that ended it."""

    @property
    def number(self) -> int:
        """The number of the signal that ended the server, or a process for which it reports it; 0 if none did."""
        if self.signal is not None:
            return signals.number_of(self.signal)
        number = (self.code or 0) - SHELL_SIGNAL
        return number if 0 < number <= SIGNALS_MAX else 0


NO_END = End()


class Finding(NamedTuple):
    """A root cause."""

    code: str
    """Of the known cause; UNRECOGNISED for any other."""
    kind: str
    """KNOWN or UNRECOGNISED."""
    text: Text
    hint: Text
    evidence: list[str]
    """Lines of the log that name it, as printed; secrets masked, as in the other texts."""
    about_port: bool = False
    port: int | None = None
    """The port that the line names."""
    own_end: bool = False
    """It is about the server's own process, not about a line of its log."""
    consequence: bool = False
    """The line reports what follows from something else: the death of a process, a failed initialization."""

    @property
    def cause(self) -> str:
        """The text in English."""
        return self.text.en
