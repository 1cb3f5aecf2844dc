"""What an answer of Loki to a push means, read from its status and its text.

Source of the texts: Loki's pkg/validation/validate.go, pkg/ingester/stream.go, pkg/distributor/distributor.go.
"""

import re
from datetime import UTC, datetime
from enum import Enum, auto
from typing import NamedTuple

from tracetail.loki.client import Answer


class Verdict(Enum):
    """What to do next."""

    DELIVERED = auto()
    SOME_REFUSED = auto()
    """Entries of the request were refused, the others are stored."""
    ALL_REFUSED = auto()
    """Every entry is refused for what they have in common (the labels)."""
    TOO_MUCH = auto()
    """Nothing was stored: too much at a time."""
    TRY_AGAIN = auto()
    """Not known: the same bytes again."""
    SETTINGS = auto()
    """Somebody has to change a setting; the same bytes again, slowly."""


class RateLimit(NamedTuple):
    """What a 429 tells of the limit and of the request, in bytes."""

    limit: int
    request: int


_ABOUT_LABELS = re.compile(
    r"label name|label value|labels? '|label names|stream .* has (?:\d+|duplicate) label|error parsing labels"
    r"|parse error at|missing .*labels|at least one label|valid stream is required",
    re.IGNORECASE,
)
_FOR_ITS_TIME = re.compile(
    r"too far behind|out of order|timestamp too old|timestamp too new|too far in the (?:past|future)", re.IGNORECASE
)
KINDS = {
    "too long": re.compile(r"max entry size|line too long|entry for stream .* too long", re.IGNORECASE),
    "time": _FOR_ITS_TIME,
    "structured metadata": re.compile(r"structured metadata", re.IGNORECASE),
    "labels": _ABOUT_LABELS,
}
"""The kinds of refusals, in the order in which they are looked for."""
OTHER = "other"

_LISTED = re.compile(
    r"entry with timestamp (\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? \+0000 UTC ignored,"
    r" reason: '([^']*)'"
)
_TOTAL_IGNORED = re.compile(r"total ignored: (\d+) out of (\d+)")
_RATE_LIMIT = re.compile(r"limit: (\d+) bytes/sec.*?totaling '?(\d+)'? bytes", re.DOTALL)
_SIZE = r"([\d.]+) ?([KMGT]?)i?B"
_STREAMS_RATE_LIMIT = re.compile(rf"limit: {_SIZE}/sec.*?totaling {_SIZE}", re.DOTALL)
_ALL_STREAMS = re.compile(r"ingestion rate limit", re.IGNORECASE)
_SETTING_OF = {
    401: "loki.bearer_token_file, or loki.username and loki.password_file",
    403: "loki.tenant, or the rights of the user or token in loki.bearer_token_file",
    404: "loki.url",
}


def verdict(answer: Answer, *, one_entry: bool = False) -> Verdict:
    """Return what an answer means. Only 204 is delivered: 260 is a success that stored nothing.

    one_entry: the request held one entry only, and cannot be made smaller.
    """
    match answer.status:
        case 204:
            return Verdict.DELIVERED
        case 400:
            return Verdict.ALL_REFUSED if _ABOUT_LABELS.search(answer.text) else Verdict.SOME_REFUSED
        case 422:
            return Verdict.ALL_REFUSED
        case 413 if one_entry:
            return Verdict.ALL_REFUSED
        case 413 | 429:
            return Verdict.TOO_MUCH
        case 401 | 403 | 404 | 405 | 407:
            return Verdict.SETTINGS
        case _:
            return Verdict.TRY_AGAIN


def setting_to_look_at(answer: Answer) -> str:
    """Return the name of the setting that a 401, 403 or 404 is about."""
    return _SETTING_OF.get(answer.status, "loki.url and loki.proxy")


def is_for_its_time(reason: str) -> bool:
    """Say whether an entry was refused because of its time alone."""
    return _FOR_ITS_TIME.search(reason) is not None


def kind_of(reason: str) -> str:
    """Return which of KINDS a refusal's text is, OTHER if none: a name for a metric's label."""
    return next((kind for kind, pattern in KINDS.items() if pattern.search(reason)), OTHER)


def rate_limit(text: str) -> RateLimit | None:
    """Return the limit that a 429 names, if it names one: that of the tenant in bytes, that of a stream as `3MB`."""
    if match := _RATE_LIMIT.search(text):
        return RateLimit(int(match[1]), int(match[2]))
    if match := _STREAMS_RATE_LIMIT.search(text):
        return RateLimit(_bytes(match[1], match[2]), _bytes(match[3], match[4]))
    return None


def is_its_own(answer: Answer) -> bool:
    """Say whether a 429 is about this stream, and so no reason for others to wait."""
    return answer.status == 429 and not _ALL_STREAMS.search(answer.text)


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * 1024 ** " KMGT".index(unit or " "))


def listed(text: str) -> dict[int, str] | None:
    """Return the refused entries, time to reason, if the text names every one of them; else None.

    Loki lists at most ten, and says how many there were.
    """
    times = {}
    for match in _LISTED.finditer(text):
        year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
        seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
        times[seconds * 1_000_000_000 + int((match[7] or "0").ljust(9, "0"))] = match[8]
    total = _TOTAL_IGNORED.search(text)
    return times if times and total and int(total[1]) == len(times) else None
