"""Parses numbers, durations and byte sizes as Go's functions do.

Error texts are those of strconv.ParseFloat, time.ParseDuration and go-humanize's ParseBytes, because queries return
them in `__error_details__`.
"""

import re
from decimal import Decimal

_NANOS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NANOS |= {"d": 24 * _NANOS["h"], "w": 7 * 24 * _NANOS["h"], "y": 365 * 24 * _NANOS["h"]}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|[smhdwy])")
_GO_UNITS = ("ns", "us", "µs", "μs", "ms", "s", "m", "h")
_GO_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([^\d.]*)")
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|infinity)|nan", re.IGNORECASE | re.ASCII)
_BYTES = re.compile(r"([\d.,]*)(.*)", re.DOTALL | re.ASCII)
_BYTES_UNIT = re.compile(r"(?:([kmgtpe])(i?))?b?")


def parse_duration(text: str) -> int:
    """Return a duration of LogQL, such as `1h30m` or `1d`, in nanoseconds."""
    nanos = sum(
        int(Decimal(number) * _NANOS[unit.replace("μ", "µ")]) for number, unit in _DURATION_PART.findall(text)
    )
    return -nanos if text.startswith("-") else nanos


def go_number(text: str) -> float:
    """Return a label's value as a number. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'strconv.ParseFloat: parsing "{text}": invalid syntax')
    return float(text)


def go_duration(text: str) -> int:
    """Return a label's value as nanoseconds. Raises ValueError."""
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0
    position = 0
    while part := _GO_PART.match(unsigned, position):
        if not part[2]:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if part[2] not in _GO_UNITS:
            raise ValueError(f'time: unknown unit "{part[2]}" in duration "{text}"')
        position = part.end()
    if not unsigned or position < len(unsigned):
        raise ValueError(f'time: invalid duration "{text}"')
    return parse_duration(text)


def go_bytes(text: str) -> int:
    """Return a label's value, such as `5MB` or `1.5 KiB`, as a number of bytes. Raises ValueError."""
    match = _BYTES.match(text)
    assert match is not None
    number, unit = match[1].replace(",", ""), match[2].strip().lower()
    if not re.fullmatch(r"\d+\.?\d*|\.\d+", number):
        raise ValueError(f'strconv.ParseFloat: parsing "{number}": invalid syntax')
    known = _BYTES_UNIT.fullmatch(unit)
    if known is None:
        raise ValueError(f"unhandled size name: {unit}")
    power = " kmgtpe".index(known[1]) if known[1] else 0
    return int(Decimal(number) * (1024 if known[2] else 1000) ** power)
