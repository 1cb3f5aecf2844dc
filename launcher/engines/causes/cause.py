"""A known cause of a failure: the lines that name it, its code, and its text and hint in English and Chinese."""

from enum import IntEnum
from typing import NamedTuple


class Text(NamedTuple):
    """A text for users, in both languages.

    `{name}` is replaced by the pattern's group of that name. A part in square brackets is left out if a group within
    has no value.
    """

    en: str
    zh: str


class Rank(IntEnum):
    """How much a line says about why a server failed; the lower, the more."""

    ROOT = 0
    """The reason itself."""
    GENERAL = 1
    """A failure whose reason another line may name: it yields to a ROOT anywhere, and to what failed before it."""
    WEAK = 2
    """A complaint that is often survived, as a shell's: it yields to every traceback and to other known causes.

    It counts little once the server has logged something, and most if the status, 126 or 127, is that of a shell.
    """
    CONSEQUENCE = 3
    """Reports that something else failed: never the cause when anything failed before it."""


class Line(NamedTuple):
    """A line that names a cause.

    It is matched from the beginning of a message: the line without the engine's own header, an exception's name and
    what wraps other messages (see launcher/keeper/cause_match.py). So the same words inside a logged prompt do not match.
    """

    anchor: bytes
    """Bytes that the line contains: searched first, because that is cheap."""
    pattern: bytes = b""
    """A regular expression; its named groups are filled into text and hint. Empty: the message begins with the anchor."""


class Cause(NamedTuple):
    """A known cause."""

    code: str
    """Stable: test platforms count and route by it."""
    text: Text
    """What is wrong, in the user's words."""
    hint: Text
    """What to change."""
    lines: tuple[Line, ...]
    rank: Rank = Rank.ROOT
    about_port: bool = False
    """The port is held: the hint also names the process that holds it."""
    died: bool = False
    """A process of the server was ended by a signal: the group `status` is its number, or minus that. Code and hint are
    then the signal's; the text names the process."""


NO_TEXT = Text("", "")
RUST_VALUE = rb"(?:thread '[^']{0,60}' panicked at .{0,200}?value: |[^'\"]{0,120}?)"
"""What stands before an error that Rust prints as a value: a panic's place, or what the program says."""
ABOVE = Text("the cause is in the log above", "原因在日志的上文")
"""The hint of a consequence: what it follows from was printed before."""
UNSAID = Text(
    "the log does not say why: a process may have been killed, by the kernel's OOM killer (dmesg) or by somebody",
    "日志没有说明原因：可能有进程被内核的 OOM killer（查看 dmesg）或被人终止",
)
"""The hint of a consequence before which the log has no error."""
