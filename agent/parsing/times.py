"""Engine times: what an engine prints as its time, made into nanoseconds since the epoch.

vLLM prints no year, no zone and no fraction; others print some of them. What is missing is taken from the date on
which the file was first seen, and from the configured zone or else the machine's rules.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
AHEAD_MAX_NS = 300 * SECOND
"""A time further ahead of the clock than this is not believed."""

_WHEN = re.compile(rb"(?:(\d{4})-)?(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:[.,:](\d{1,9}))?\s?(Z|[+-]\d\d:?\d\d)?")
_EPOCH = re.compile(rb"(\d{10})(\d{0,9})(?:\.(\d{1,9})\d*)?")
_CACHED_MAX = 8
_NANOS_DIGITS = 9
_NANOS = [10 ** (_NANOS_DIGITS - digits) for digits in range(_NANOS_DIGITS + 1)]
"""How many nanoseconds the last of so many digits of a fraction is worth."""


class EngineTimes:
    """The times of one file, in the order in which its lines stand."""

    def __init__(self, first_seen_ns: int, zone: tzinfo | None = None) -> None:
        """first_seen_ns: when the file was first seen. zone: of times without one; None: the machine's rules."""
        self._first_seen_ns = first_seen_ns
        self._zone = zone
        self._cache: dict[bytes, int | None] = {}

    def parse(self, when: bytes, last_ns: int | None) -> int | None:
        """Return the time that `when` tells, None if it tells none.

        last_ns is the time of the line before (None for the first): it decides which year a time without one is
        in, and which of the two hours when the clock is set back.
        """
        # A fraction makes almost every time another one: what is cached is the second.
        second, _, digits = when.partition(b",")
        if digits.isdigit() and len(digits) <= _NANOS_DIGITS and second[-3:-2] == b":":
            found = self._cached(second, last_ns)
            return None if found is None else found + int(digits) * _NANOS[len(digits)]
        return self._cached(when, last_ns)

    def _cached(self, when: bytes, last_ns: int | None) -> int | None:
        if when in self._cache:
            cached = self._cache[when]
            if cached is None or last_ns is None or -SECOND <= cached - last_ns <= DAY:
                return cached
        found = self._parse(when, last_ns)
        if len(self._cache) >= _CACHED_MAX:
            self._cache.clear()
        self._cache[when] = found
        return found

    def _parse(self, when: bytes, last_ns: int | None) -> int | None:
        match = _WHEN.fullmatch(when)
        if match is None:
            return _epoch(when)
        year, month, day, hour, minute, second = (int(group) if group else None for group in match.groups()[:6])
        nanos = int((match[7] or b"0").ljust(_NANOS_DIGITS, b"0"))
        zone = _zone(match[8]) if match[8] else self._zone
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
        """A line follows the line before: the year that puts it closest. The first line is not from the future."""
        reference = self._first_seen_ns if last_ns is None else last_ns
        around = datetime.fromtimestamp(reference // SECOND, UTC).year
        # Eight years, because there may be so many between two leap days (1896, 1904; 2096, 2104).
        years = range(around + 1, around - 9, -1)
        candidates = [found for y in years if (found := _instant((y, *clock), zone, last_ns)) is not None]
        if last_ns is not None:
            return min(candidates, key=lambda ns: abs(ns - last_ns), default=None)
        return next((ns for ns in candidates if ns <= reference + DAY), None)


def _instant(date: tuple[int, int, int, int, int, int], zone: tzinfo | None, last_ns: int | None) -> int | None:
    try:
        local = datetime(*date, tzinfo=zone)
    except ValueError:
        return None
    first = int(local.timestamp()) * SECOND
    if last_ns is None or first >= last_ns - SECOND:
        return first
    # When clocks go back an hour comes twice: it is the second one if the first would be before the line before.
    second = int(local.replace(fold=1).timestamp()) * SECOND
    return second if second > first and second <= last_ns + 3600 * SECOND else first


def _zone(text: bytes) -> tzinfo:
    if text == b"Z":
        return UTC
    digits = text.replace(b":", b"")
    offset = timedelta(hours=int(digits[1:3]), minutes=int(digits[3:5]))
    return timezone(-offset if text[:1] == b"-" else offset)


def _epoch(when: bytes) -> int | None:
    """Seconds, milliseconds, microseconds or nanoseconds since the epoch, as JSON logs have them."""
    match = _EPOCH.fullmatch(when)
    if match is None:
        return None
    return int(match[1]) * SECOND + int((match[2] + (match[3] or b"")).ljust(_NANOS_DIGITS, b"0")[:_NANOS_DIGITS])
