"""Parses the parameters of Loki's read endpoints: times, steps, limits.

Source: https://grafana.com/docs/loki/latest/reference/loki-http-api/, and for details pkg/loghttp/params.go.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from aiohttp import web

from tracetail.loki.limits import ENTRIES_PER_QUERY_MAX
from tracetail.store.logql.quantities import parse_duration
from tracetail.store.query.aggregate import STEPS_MAX, Steps

LIMIT_DEFAULT = 100
SINCE_DEFAULT_NS = 3600 * 10**9
LABELS_SINCE_DEFAULT_NS = 6 * SINCE_DEFAULT_NS
STEPS_DEFAULT = 250
INT64_MAX = 2**63 - 1
_WHOLE = re.compile(r"-?\d+", re.ASCII)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d|w|y))+")


class ParameterError(ValueError):
    """A parameter is invalid (400)."""


@dataclass(frozen=True, slots=True)
class TimeRange:
    """start <= time < end, in nanoseconds."""

    start: int
    end: int


async def of_request(request: web.Request) -> Mapping[str, str]:
    """Return the parameters of a GET request, or of a POST request with a form. The first of repeated ones counts."""
    given = dict(reversed(list(request.query.items())))
    if request.method == "POST":
        given |= {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    return given


def time_range(params: Mapping[str, str], now_ns: int, since_default_ns: int = SINCE_DEFAULT_NS) -> TimeRange:
    """Return start and end; by default the last since_default_ns. Raises ParameterError."""
    end = parse_time(params["end"]) if params.get("end") else now_ns
    since = _duration("since", params["since"]) if params.get("since") else since_default_ns
    start = parse_time(params["start"]) if params.get("start") else min(end, now_ns) - since
    return TimeRange(start, end)


def parse_time(text: str) -> int:
    """Return the nanoseconds of a time in nanoseconds, seconds (up to ten digits, or a decimal) or RFC 3339.

    Raises ParameterError.
    """
    try:
        if _WHOLE.fullmatch(text) and len(text) <= 20:
            return _in_range(int(text) * (10**9 if len(text) <= 10 else 1), text)
        if "." in text and "T" not in text.upper():
            # Loki rounds a decimal number of seconds to milliseconds.
            return _in_range(int(Decimal(text).quantize(Decimal("0.001")) * 10**9), text)
        match = _RFC3339.fullmatch(text)
        if match is not None:
            day, clock, fraction, zone = match.groups()
            moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone in 'Zz' else zone}")
            seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
            return _in_range(seconds * 10**9 + int((fraction or "0").ljust(9, "0")), text)
    except (ValueError, InvalidOperation, OverflowError):
        pass
    raise ParameterError(f"could not parse {text[:100]!r} as a time: use nanoseconds, seconds or RFC 3339")


def _in_range(time_ns: int, text: str) -> int:
    if abs(time_ns) >= 2**63:
        raise ParameterError(f"the time {text[:100]!r} is out of range")
    return time_ns


def limit(params: Mapping[str, str], maximum: int = ENTRIES_PER_QUERY_MAX) -> int:
    """Return the limit of entries. Raises ParameterError, also if it exceeds the maximum."""
    text = params.get("limit", "")
    if not text:
        return LIMIT_DEFAULT
    if not re.fullmatch(r"[+-]?\d{1,18}", text, re.ASCII):
        raise ParameterError(f"limit {text[:100]!r} is not a number")
    value = int(text)
    if value <= 0:
        raise ParameterError("limit must be a positive value")
    if value > maximum:
        raise ParameterError(
            f"max entries limit per query exceeded, limit > max_entries_limit_per_query ({value} > {maximum})"
        )
    return value


def backward(params: Mapping[str, str]) -> bool:
    """Return whether the direction is backward, newest entries first, which is the default. Raises ParameterError."""
    text = params.get("direction", "") or "backward"
    if text.lower() not in ("forward", "backward"):
        raise ParameterError(f"invalid direction '{text[:100]}'")
    return text.lower() == "backward"


def steps(params: Mapping[str, str], wanted: TimeRange) -> Steps:
    """Return the steps of a metric query over a range. Raises ParameterError.

    As in Loki's query frontend, start is rounded down and end rounded up to a multiple of the step.
    """
    text = params.get("step", "")
    seconds = (wanted.end - wanted.start) / 10**9
    step = _duration("step", text) if text else max(int(seconds // STEPS_DEFAULT), 1) * 10**9
    if step < 10**6:
        raise ParameterError("zero or negative query resolution step widths are not accepted. Try a positive integer")
    first = wanted.start - wanted.start % step
    last = wanted.end + -wanted.end % step
    if (wanted.end - wanted.start) // step > STEPS_MAX:
        raise ParameterError(
            f"exceeded maximum resolution of {STEPS_MAX:,} points per time series. "
            "Try increasing the value of the step parameter"
        )
    return Steps(first, step, (last - first) // step + 1)


def _duration(name: str, text: str) -> int:
    """Return the nanoseconds of a duration such as `30s`, or of a number of seconds."""
    if _DURATION.fullmatch(text) and len(text) < 40:
        return parse_duration(text)
    try:
        nanos = int(Decimal(text) * 10**9)
    except (InvalidOperation, ValueError, OverflowError):
        raise ParameterError(f"cannot parse {text[:100]!r} to a valid duration for {name}") from None
    if abs(nanos) >= 2**63:
        raise ParameterError(f"cannot parse {text[:100]!r} to a valid duration for {name}. It overflows int64")
    return nanos
