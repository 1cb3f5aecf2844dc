r"""Unwraps the lines that container runtimes write around a program's own.

CRI (containerd, CRI-O, podman's k8s-file): `2026-11-26T14:31:25.123456789Z stdout F text`; a line that came in pieces
has `P` for all but the last. Source: kubernetes/design-proposals-archive, node/kubelet-cri-logging.md.

Docker's json-file: `{"log":"text\n","stream":"stdout","time":"2026-11-26T14:31:25.123456789Z"}`; a piece has no `\n`
at its end. Source: moby, daemon/logger/jsonfilelog.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson

_CRI = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) "
    rb"(stdout|stderr) ([FP])(?::\S*)? (.*)",
    re.DOTALL,
)
_DOCKER_START = b'{"log":"'
_TIME = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_STREAMS = ("stdout", "stderr")
_PENDING_MAX_BYTES = 128 * 1024
_DOCKER_PIECE_BYTES = 16 * 1024
"""Docker cuts lines into pieces of this size; a shorter one without an end was the last that a program printed."""
_SECONDS_MAX = 64
_NANOS_DIGITS = 9
_SECOND_NS = 1_000_000_000


class Unwrapped(NamedTuple):
    """A line of the program in the container."""

    text: bytes
    time_ns: int | None
    """The runtime's own time of its first piece; None for a line that is not the runtime's."""
    cut: bool = False
    """The next line of the same stream continues it."""


class _Piece(NamedTuple):
    stream: str
    time_ns: int
    text: bytes
    complete: bool


class ContainerLines:
    """Joins the pieces of one log. A log is a container's if its first line is."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        """Continue from `state`, which state() returned; None at the beginning of a log."""
        self._wrapped: bool | None = state["wrapped"] if state else None
        """None before the first line."""
        pending = state["pending"] if state else {}
        self._pending: dict[str, tuple[int, bytes]] = {
            stream: (time_ns, text.encode("latin-1")) for stream, (time_ns, text) in pending.items()
        }
        """By stream: time and text of the pieces of an unfinished line."""
        self._seconds: dict[bytes, int] = {}

    def state(self) -> dict[str, Any] | None:
        """Return what later lines depend on, for the journal; JSON-serialisable."""
        if self._wrapped is None:
            return None
        pending = {stream: (time_ns, text.decode("latin-1")) for stream, (time_ns, text) in self._pending.items()}
        return {"wrapped": self._wrapped, "pending": pending}

    def is_wrapped(self, block: bytes) -> bool:
        """Return whether a block, the next of the log, has lines of a container runtime."""
        if self._wrapped is None and block:
            self._wrapped = self._piece(block.partition(b"\n")[0]) is not None
        return bool(self._wrapped)

    def first_time(self, block: bytes) -> int | None:
        """Return the time of a log's first line, in nanoseconds since the epoch; None if it is no container's."""
        piece = self._piece(block.partition(b"\n")[0])
        return piece.time_ns if piece else None

    def unwrap(self, lines: Sequence[bytes], *, caught_up: bool) -> Iterator[Unwrapped]:
        """Yield the program's lines, their pieces joined.

        caught_up: nothing more was written, so that unfinished lines are yielded, as cut ones.
        """
        for line in lines:
            piece = self._piece(line)
            if piece is None:
                yield Unwrapped(line, None)
                continue
            time_ns, before = self._pending.pop(piece.stream, (piece.time_ns, b""))
            text = before + piece.text
            if piece.complete:
                yield Unwrapped(text, time_ns)
            elif len(text) > _PENDING_MAX_BYTES:
                yield Unwrapped(text, time_ns, cut=True)
            else:
                self._pending[piece.stream] = time_ns, text
        if caught_up:
            for time_ns, text in self._pending.values():
                yield Unwrapped(text, time_ns, cut=True)
            self._pending.clear()

    def _piece(self, line: bytes) -> _Piece | None:
        """Return what a runtime's line holds; None for any other line."""
        if line.startswith(_DOCKER_START):
            return self._docker_piece(line)
        match = _CRI.fullmatch(line) if line[:1].isdigit() else None
        time_ns = self._time(match[1], match[2], match[3]) if match else None
        if match is None or time_ns is None:
            return None
        return _Piece(match[4].decode(), time_ns, match[6], match[5] == b"F")

    def _docker_piece(self, line: bytes) -> _Piece | None:
        try:
            fields = orjson.loads(line)
            text, stream, time = fields["log"].encode(), fields["stream"], _TIME.fullmatch(fields["time"].encode())
        except (ValueError, KeyError, AttributeError):
            return None
        time_ns = self._time(time[1], time[2], time[3]) if time else None
        if stream not in _STREAMS or time_ns is None:
            return None
        complete = text.endswith(b"\n") or len(text) < _DOCKER_PIECE_BYTES
        return _Piece(stream, time_ns, text.removesuffix(b"\n"), complete)

    def _time(self, second: bytes, fraction: bytes | None, zone: bytes) -> int | None:
        """Return a time in nanoseconds since the epoch; None if there is no such time."""
        key = second + zone
        base = self._seconds.get(key)
        if base is None:
            try:
                base = int(datetime.fromisoformat(key.decode()).timestamp()) * _SECOND_NS
            except (ValueError, OverflowError):
                return None
            if len(self._seconds) >= _SECONDS_MAX:
                self._seconds.clear()
            self._seconds[key] = base
        return base + int((fraction or b"").ljust(_NANOS_DIGITS, b"0"))
