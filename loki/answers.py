"""Interprets Loki's answers to pushes: the status and the text of a refusal.

Source of the texts: Loki's pkg/validation/validate.go, pkg/ingester/stream.go, pkg/distributor/distributor.go.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """What Loki answered to a push."""

    status: int
    text: str
    """The body; empty for a 204."""
    retry_after: float
    """Seconds; 0 if the answer has no Retry-After header."""


class Verdict(Enum):
    """What an answer means for the request."""

    DELIVERED = auto()
    SOME_REFUSED = auto()
    """Some entries of the request are refused, the others are stored."""
    ALL_REFUSED = auto()
    """Every entry is refused, for what they have in common (the labels)."""
    TOO_MUCH = auto()
    """Nothing is stored: the request, or the rate of requests, exceeds a limit."""
    TRY_AGAIN = auto()
    """The outcome is unknown: send the same bytes again."""
    SETTINGS = auto()
    """A setting must be changed: send the same bytes again, at long intervals."""


class RateLimit(NamedTuple):
    """The limit that a 429 names, and what exceeded it, in bytes: the request, or a single entry of it."""

    limit: int
    request: int
    of_stream: bool
    """The limit is that of one stream, and `request` the size of one entry."""


_LABELS_REFUSED = re.compile(
    r"label name|label value|labels? '|label names|stream .* has (?:\d+|duplicate) label|error parsing labels"
    r"|parse error at|missing .*labels|at least one label|valid stream is required",
    re.IGNORECASE,
)
_TIME_REFUSED = re.compile(
    r"too far behind|out of order|timestamp too old|timestamp too new|too far in the (?:past|future)", re.IGNORECASE
)
_TOO_NEW = re.compile(r"timestamp too new|too far in the future", re.IGNORECASE)
REFUSAL_KINDS = {
    "too long": re.compile(r"max entry size|line too long|entry for stream .* too long", re.IGNORECASE),
    "time": _TIME_REFUSED,
    "structured metadata": re.compile(r"structured metadata", re.IGNORECASE),
    "labels": _LABELS_REFUSED,
}
"""The kinds of refusals by the pattern of their texts, in the order in which they are tried."""
OTHER_REFUSAL = "other"

_STREAM_NAME = re.compile(r'\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}')
"""A stream's labels in a text: their values are anybody's."""
_RATE_LIMIT = re.compile(r"limit: (\d+) bytes/sec.*?totaling '?(\d+)'? bytes", re.DOTALL)
_SIZE = r"([\d.]+) ?([KMGT]?)i?B"
_STREAM_RATE_LIMIT = re.compile(rf"limit: {_SIZE}/sec.*?totaling {_SIZE}", re.DOTALL)
_TENANT_LIMIT = re.compile(r"ingestion rate limit", re.IGNORECASE)
_MAY_HAVE_STORED = re.compile(r"per stream rate limit|total ignored|stream limit exceeded", re.IGNORECASE)
"""429s of the ingester: other entries of the request, or another shard of its stream, may be stored."""
_NO_TENANT = re.compile(r"no org id|no tenant|X-Scope-OrgID", re.IGNORECASE)
_SETTING_OF = {
    401: "loki.bearer_token_file, or loki.username and loki.password_file",
    403: "loki.tenant, or the rights of the user or token in loki.bearer_token_file",
    404: "loki.url",
}


def verdict(answer: PushAnswer, *, one_entry: bool = False) -> Verdict:
    """Return what an answer means. Only 204 is delivered: 260 is a success status that stored nothing.

    one_entry: the request holds a single entry and cannot be made smaller.
    """
    match answer.status:
        case 204:
            return Verdict.DELIVERED
        case 400:
            about_labels = _LABELS_REFUSED.search(_STREAM_NAME.sub("{}", answer.text))
            return Verdict.ALL_REFUSED if about_labels else Verdict.SOME_REFUSED
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


def is_about_tenant(text: str) -> bool:
    """Return whether an answer asks for the name of a tenant."""
    return _NO_TENANT.search(text) is not None


def setting_for(status: int, text: str) -> str:
    """Return the names of the settings that a 401, 403, 404, 405 or 407 with this text is probably about."""
    if is_about_tenant(text):
        return "loki.tenant: this Loki has tenants, and needs the name of one"
    return _SETTING_OF.get(status, "loki.url and loki.proxy")


def is_outcome_unknown(answer: PushAnswer) -> bool:
    """Return whether a request that is not acknowledged may be stored, wholly or in part."""
    return (
        answer.status >= 500
        or answer.status in (408, 499)
        or (answer.status == 429 and _MAY_HAVE_STORED.search(answer.text) is not None)
    )


def is_too_new(reason: str) -> bool:
    """Return whether an entry was refused because its time is too far ahead of Loki's clock."""
    return _TOO_NEW.search(reason) is not None


def is_time_refusal(reason: str) -> bool:
    """Return whether an entry was refused because of its timestamp alone."""
    return _TIME_REFUSED.search(reason) is not None


def refusal_kind(reason: str) -> str:
    """Return which of REFUSAL_KINDS a refusal's text belongs to, else OTHER_REFUSAL. Used as a metric's label."""
    return next((kind for kind, pattern in REFUSAL_KINDS.items() if pattern.search(reason)), OTHER_REFUSAL)


def rate_limit(text: str) -> RateLimit | None:
    """Return the limit that the text of a 429 names, if any: the tenant's (in bytes) or the stream's (as `3MB`)."""
    if match := _RATE_LIMIT.search(text):
        return RateLimit(int(match[1]), int(match[2]), of_stream=False)
    if match := _STREAM_RATE_LIMIT.search(text):
        return RateLimit(_bytes(match[1], match[2]), _bytes(match[3], match[4]), of_stream=True)
    return None


def is_stream_limit(answer: PushAnswer) -> bool:
    """Return whether a 429 concerns this stream only, so that other streams need not wait."""
    return answer.status == 429 and not _TENANT_LIMIT.search(answer.text)


def _bytes(number: str, unit: str) -> int:
    return int(float(number) * 1024 ** " KMGT".index(unit or " "))
