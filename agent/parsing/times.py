"""Converts the times that engines print to nanoseconds since the epoch.

vLLM prints no year, no zone and no fraction; others print some of them. A missing year follows from the time at which
the file was first seen, a missing zone is the configured one or else the machine's.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
AHEAD_MAX_NS = 300 * SECOND
"""A time further ahead of the clock than this is ignored."""

_TIMESTAMP = re.compile(
    rb"(?:(\d{4})[-/])?(\d\d)[-/](\d\d)[ T-](\d\d):(\d\d):(\d\d)(?:[.,:](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?"
)
_AMERICAN = re.compile(rb"(\d\d)/(\d\d)/(\d{4})[ -](\d\d:.*)")
"""TensorRT-LLM's `11/22/2026-13:12:10`."""
_CANN_FRACTION = re.compile(rb"\.(\d{3})\.(\d{3})$")
"""CANN's `13:12:10.123.456`."""
_EPOCH = re.compile(rb"(\d{10})(\d{0,9})(?:\.(\d{1,9})\d*)?")
_SECONDS = re.compile(rb"(.*:\d\d:)(\d\d)(?:[.,](\d{1,9}))?(\s?(?:Z|[+-]\d\d:?\d\d))?")
"""A time whose last parts are seconds, their fraction and a zone."""
_NEAR = 1790 * SECOND
"""Clocks are set back by half an hour at least: the other of two equal hours is further away than this."""
_HALF_A_YEAR = 180 * DAY
_CACHE_MAX = 8
_NANOS_DIGITS = 9
_NANOS = [10 ** (_NANOS_DIGITS - digits) for digits in range(_NANOS_DIGITS + 1)]
"""By the number of a fraction's digits: the nanoseconds that a unit of the last digit stands for."""


class EngineTimes:
    """Parses the times of one file, in the order of its lines."""

    def __init__(self, first_seen_ns: int, zone: tzinfo | None = None) -> None:
        """first_seen_ns: when the file was first seen. zone: of times without a zone; None: the machine's."""
        self._first_seen_ns = first_seen_ns
        self._zone = zone
        self._minutes: dict[tuple[bytes, bytes | None], int] = {}
        """The beginning of a minute, by the text in front of its seconds and the zone behind them."""

    def parse(self, timestamp: bytes, last_ns: int | None) -> int | None:
        """Return a printed time in nanoseconds since the epoch; None if it cannot be parsed.

        last_ns: time of the line before, None for the first. It determines the year of a time without one, and
        which of the two equal hours is meant when the clocks are set back.
        """
        match = _SECONDS.fullmatch(timestamp)
        if match is None:
            return self._parse(timestamp, last_ns)
        before, digits, fraction, zone = match.groups()
        minute, second_ns = (before, zone), min(int(digits), 59) * SECOND
        found = self._known(minute, second_ns, last_ns)
        if found is None:
            found = self._parse(before + digits + (zone or b""), last_ns)
            if found is None:
                return None
            if len(self._minutes) >= _CACHE_MAX:
                self._minutes.clear()
            self._minutes[minute] = found - second_ns
        return found if fraction is None else found + int(fraction) * _NANOS[len(fraction)]

    def _known(self, minute: tuple[bytes, bytes | None], second_ns: int, last_ns: int | None) -> int | None:
        """Return the time of a second of a known minute; None if the text may stand for another minute now."""
        began = self._minutes.get(minute)
        if began is None:
            return None
        found = began + second_ns
        return found if last_ns is None or -SECOND <= found - last_ns <= _NEAR else None

    def _parse(self, timestamp: bytes, last_ns: int | None) -> int | None:
        if american := _AMERICAN.fullmatch(timestamp):
            timestamp = b"%b-%b-%b %b" % (american[3], american[1], american[2], american[4])
        match = _TIMESTAMP.fullmatch(_CANN_FRACTION.sub(rb".\1\2", timestamp))
        if match is None:
            return _epoch(timestamp)
        year, month, day, hour, minute, second = (int(group) if group else None for group in match.groups()[:6])
        nanos = int((match[7] or b"0").ljust(_NANOS_DIGITS, b"0"))
        try:
            zone = _zone(match[8]) if match[8] else self._zone
        except ValueError:  # a day or more
            return None
        assert month is not None
        assert day is not None
        assert hour is not None
        assert minute is not None
        assert second is not None
        clock = (month, day, hour, minute, min(second, 59))
        if year is not None:
            found = _instant((year, *clock), zone, last_ns)
        else:
            found = self._nearest_year(clock, zone, last_ns)
        return None if found is None else found + nanos

    def _nearest_year(
        self, clock: tuple[int, int, int, int, int], zone: tzinfo | None, last_ns: int | None
    ) -> int | None:
        """Return the time in the year that is closest to the line before; the first line is not from the future."""
        reference = self._first_seen_ns if last_ns is None else last_ns
        around = datetime.fromtimestamp(reference // SECOND, UTC).year
        if last_ns is not None:
            found = _instant((around, *clock), zone, last_ns)
            if found is not None and abs(found - last_ns) <= _HALF_A_YEAR:
                return found
        # Up to eight years lie between two leap days (1896, 1904; 2096, 2104).
        for years in (range(around + 1, around - 2, -1), range(around - 2, around - 9, -1)):
            instants = (_instant((year, *clock), zone, last_ns) for year in years)
            candidates = (ns for ns in instants if ns is not None)
            if last_ns is not None:
                found = min(candidates, key=lambda ns: abs(ns - last_ns), default=None)
            else:
                found = next((ns for ns in candidates if ns <= reference + DAY), None)
            if found is not None:
                return found
        return None


def _instant(date: tuple[int, int, int, int, int, int], zone: tzinfo | None, last_ns: int | None) -> int | None:
    try:
        local = datetime(*date, tzinfo=zone)
        first = int(local.timestamp()) * SECOND
        if last_ns is None or first >= last_ns - SECOND:
            return first
        # An hour occurs twice when clocks go back: it is the second one if the first would be before the last line.
        second = int(local.replace(fold=1).timestamp()) * SECOND
    except (ValueError, OverflowError):  # not in the calendar, or at its ends: a zone leads out of it
        return None
    return second if second > first and second <= last_ns + 3600 * SECOND else first


def _zone(text: bytes) -> tzinfo:
    if text == b"Z":
        return UTC
    digits = text.replace(b":", b"")
    offset = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:5]))
    return timezone(-offset if text[:1] == b"-" else offset)


def _epoch(timestamp: bytes) -> int | None:
    """Parse seconds, milliseconds, microseconds or nanoseconds since the epoch, as JSON logs print them."""
    match = _EPOCH.fullmatch(timestamp)
    if match is None:
        return None
    return int(match[1]) * SECOND + int((match[2] + (match[3] or b"")).ljust(_NANOS_DIGITS, b"0")[:_NANOS_DIGITS])
