"""Puts stamp and prefix in front of the lines of a launch's log, thousands at a time."""

import time
from collections.abc import Sequence

from tracetail.contract.logline import local_offset_seconds, parse_stamp, render_event, render_prefix, render_stamp

_LAST_DIGITS = [f"{n:03d}".encode() for n in range(1000)]
_DIGITS_SHARED = 26
"""A stamp without the last three of its nine digits: `2026-11-22T21:12:10.123456`."""
_ZONE_STARTS = 29


class Stamper:
    """Assigns a stamp to each line of one launch. Stamps strictly increase, also when the clock steps back."""

    def __init__(self, trace_id: str, instance_id: str, last_ns: int = 0) -> None:
        self._ids = (trace_id, instance_id)
        self.prefix = render_prefix(trace_id, instance_id)
        self.last_ns = last_ns
        """The last assigned stamp, in nanoseconds since the epoch."""

    @property
    def overhead(self) -> int:
        """How many bytes stamp, prefix and line end add to a line without a mark."""
        return 35 + len(self.prefix) + 1

    def next_ns(self, now_ns: int) -> int:
        """Return the stamp that a line would get at now_ns."""
        return max(now_ns, self.last_ns + 1)

    def stamp(self, texts: Sequence[bytes], marks: Sequence[str | None] | None, now_ns: int) -> bytes:
        """Return the lines of the log for texts that all reached the keeper at now_ns.

        marks: one per text; None if no text has a mark.
        """
        first = self.next_ns(now_ns)
        self.last_ns = first + len(texts) - 1
        offset = local_offset_seconds(first)
        # Of each line four pieces that are there already, or are shared by many lines: a new one for each line would
        # cost more than all else here.
        pieces = [b""] * (4 * len(texts))
        done = 0
        while done < len(texts):
            # Up to a thousand lines share all but the last three digits of their stamps.
            stamp = first + done
            count = min(len(texts) - done, 1000 - stamp % 1000)
            whole = render_stamp(stamp, offset)
            zone = whole[_ZONE_STARTS:]
            begin, end = 4 * done, 4 * (done + count)
            pieces[begin:end:4] = [b"\n" + whole[:_DIGITS_SHARED]] * count
            pieces[begin + 1 : end : 4] = _LAST_DIGITS[stamp % 1000 : stamp % 1000 + count]
            if marks is None:
                pieces[begin + 2 : end : 4] = [zone + self.prefix] * count
            else:
                tails = {mark: zone + render_prefix(*self._ids, mark) for mark in set(marks)}
                pieces[begin + 2 : end : 4] = [tails[mark] for mark in marks[done : done + count]]
            done += count
        if not pieces:
            return b""
        pieces[3::4] = texts
        pieces[0] = pieces[0][1:]  # the line end of a line that is written already
        pieces.append(b"\n")
        return b"".join(pieces)

    def event(self, now_ns: int, name: str, /, **fields: object) -> bytes:
        """Return the line of an event."""
        return self.stamp([render_event(name, **fields).encode()], ["event"], now_ns)


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds between two timestamps; 0 if the clock was set back in between."""
    return round(max(0.0, (parse_stamp(later.encode()) - parse_stamp(earlier.encode())) / 1e9), 3)


def timestamp_now() -> str:
    """Return the current time as records hold it: RFC 3339, local offset, nine digits."""
    now = time.time_ns()
    return render_stamp(now, local_offset_seconds(now)).decode()
