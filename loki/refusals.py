"""Determines from the text of a refused push which of its entries Loki refused; it has stored the others.

Loki names a boundary (the oldest acceptable time, the longest line), or how many entries it refused, seldom the
entries themselves. Each is compared with the boundary, so that no request is halved again and again to find them.

Two parts of Loki refuse entries. The distributor lists every reason once, with a count; the ingester lists at most
ten entries, with their total. Only the last one's answer is returned: what the ingester does not count may have been
refused before it (or belong to another shard of the stream), so its outcome is unknown.

Source of the texts: Loki's pkg/validation/validate.go, pkg/util/errors/errors.go, pkg/chunkenc/interface.go and
pkg/ingester/stream.go.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from tracetail.loki.entries import NS_PER_SECOND, Entry, decode_metadata

_COUNT = r"(?:(\d+) errors like: )?"
_ANY_COUNT = re.compile(r"(\d+) errors like: ")
_STREAM = r"stream '\{.*?\}'"
_OUT_OF_TIME = re.compile(
    rf"{_COUNT}(entry for {_STREAM} has timestamp too (old|new): ([^\s;,]+)"
    r"(?:, oldest acceptable timestamp is: ([^\s;,]+))?)",
    re.DOTALL,
)
_TOO_LONG = re.compile(
    rf"{_COUNT}(max entry size '?(\d+)'? bytes exceeded for {_STREAM} while adding an entry with length '?\d+'?)",
    re.IGNORECASE | re.DOTALL,
)
_NOT_ALLOWED = re.compile(
    rf"{_COUNT}({_STREAM} includes structured metadata, but this feature is disallowed)", re.DOTALL
)
_TOO_LARGE = re.compile(
    rf"{_COUNT}({_STREAM} has structured metadata too large: '?\d+'? bytes, limit: '?(\d+)'? bytes)", re.DOTALL
)
_TOO_MANY = re.compile(
    rf"{_COUNT}({_STREAM} has too many structured metadata labels: '?\d+'?, limit: '?(\d+)'?)", re.DOTALL
)
_LISTED = re.compile(
    r"entry with timestamp (\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))? \+0000 UTC ignored,"
    r" reason: '((?:[^']|'(?!,?\n|,? ))*)'"
)
_TOTAL_IGNORED = re.compile(r"total ignored: (\d+) out of (\d+)")
_CUTOFF = re.compile(r"too far behind.*?oldest acceptable timestamp is: ([^\s;,']+)")
_RATE_LIMIT = re.compile(r"rate limit exceeded", re.IGNORECASE)


@dataclass(slots=True)
class Refusals:
    """The outcome of each entry of a refused push, by its time; Loki has stored the entries that are in neither."""

    reasons: dict[int, str] = field(default_factory=dict)
    """The refused entries."""
    unknown: set[int] = field(default_factory=set)
    """Entries about which the text says nothing: look them up, or send them again."""


def refusals_of(text: str, entries: Sequence[Entry]) -> Refusals | None:
    """Return which entries a 400's text refers to; None if it names neither entries nor a boundary.

    entries: of the request, which has one stream; in order, each with another time.
    """
    total = _TOTAL_IGNORED.search(text)
    found = _of_ingester(text, entries, int(total[1]), int(total[2])) if total else _of_distributor(text, entries)
    return found if found is not None and (found.reasons or found.unknown) else None


def listed_times(text: str) -> dict[int, str]:
    """Return the entries that an answer lists, time in nanoseconds to reason."""
    times = {}
    for match in _LISTED.finditer(text):
        year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
        seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
        times[seconds * NS_PER_SECOND + int((match[7] or "0").ljust(9, "0"))] = match[8]
    return times


def _of_ingester(text: str, entries: Sequence[Entry], ignored: int, received: int) -> Refusals | None:
    """ignored, received: numbers of entries that the text names."""
    times = [entry.time_ns for entry in entries]
    listed = {time_ns: reason for time_ns, reason in listed_times(text).items() if time_ns in set(times)}
    limited = {time_ns for time_ns, reason in listed.items() if _RATE_LIMIT.search(reason)}
    refused = {time_ns: reason for time_ns, reason in listed.items() if time_ns not in limited}
    complete = received == len(entries)
    if complete and len(listed) == ignored:
        return Refusals(refused, limited)
    cutoff = _CUTOFF.search(text)
    boundary = _time_ns(cutoff[1]) if cutoff else None
    if cutoff is None or boundary is None:
        return None
    reason = next(iter(refused.values()), cutoff[0])
    if complete and not limited and times[ignored - 1] < boundary + NS_PER_SECOND:
        # The window of acceptable times moves with newer entries only: it excludes the oldest of a batch.
        return Refusals(dict.fromkeys(times[:ignored], reason) | refused)
    behind = {time_ns: refused.get(time_ns, reason) for time_ns in times if time_ns < boundary or time_ns in refused}
    return Refusals(behind, set(times) - behind.keys())


def _of_distributor(text: str, entries: Sequence[Entry]) -> Refusals:
    found, named = _out_of_time(text, entries)
    rules, counted = _rules(text)
    for entry in entries:
        reason = next((reason for applies, reason in rules if applies(entry)), None)
        if reason is not None:
            found.reasons.setdefault(entry.time_ns, reason)
    total = sum(map(int, _ANY_COUNT.findall(text))) or 1
    if found.reasons and not total == named + counted == len(found.reasons):
        # The text was cut, or means other entries, too.
        found.unknown = {entry.time_ns for entry in entries}
    found.unknown -= found.reasons.keys()
    return found


def _out_of_time(text: str, entries: Sequence[Entry]) -> tuple[Refusals, int]:
    """Return the entries that are too old or too new, and how many of them the text counts.

    They are the first ones, or the last ones, of a batch.
    """
    found = Refusals()
    counted = 0
    times = [entry.time_ns for entry in entries]
    for side in ("old", "new"):
        named = [match for match in _OUT_OF_TIME.finditer(text) if match[3] == side]
        bounds = [_time_ns(match[5] if side == "old" else match[4]) for match in named]
        low = min((bound for bound in bounds if bound is not None), default=None)
        if low is None:
            continue
        # Loki prints whole seconds: entries within the second of the boundary are known by their number alone.
        high = low + NS_PER_SECOND
        count = sum(int(match[1] or 1) for match in named)
        counted += count
        chosen = set(times[:count] if side == "old" else times[-count:])
        sure = {ns for ns in times if (ns < low if side == "old" else ns >= high)}
        possible = {ns for ns in times if (ns < high if side == "old" else ns >= low)}
        if not sure <= chosen <= possible:  # the text is incomplete
            chosen = sure
            found.unknown |= possible - sure
        found.reasons |= dict.fromkeys(chosen, named[0][2])
    return found, counted


_Rule = tuple[Callable[[Entry], bool], str]


def _rules(text: str) -> tuple[list[_Rule], int]:
    """Return the rules that a text names, each with its reason, and how many entries it counts under them."""
    rules: list[_Rule] = []
    counted = 0
    for pattern, rule in _RULES:
        matches = list(pattern.finditer(text))
        if matches:
            counted += sum(int(match[1] or 1) for match in matches)
            limit = int(matches[0][3]) if pattern.groups > 2 else 0  # its groups: count, reason, limit
            rules.append((partial(rule, limit=limit), matches[0][2]))
    return rules, counted


def _is_too_long(entry: Entry, *, limit: int) -> bool:
    return len(entry.text) > limit


def _has_metadata(entry: Entry, *, limit: int) -> bool:
    del limit
    return bool(entry.meta)


def _has_too_large_metadata(entry: Entry, *, limit: int) -> bool:
    return _size(decode_metadata(entry.meta)) > limit


def _has_too_much_metadata(entry: Entry, *, limit: int) -> bool:
    return len(decode_metadata(entry.meta)) > limit


_RULES = (
    (_TOO_LONG, _is_too_long),
    (_NOT_ALLOWED, _has_metadata),
    (_TOO_LARGE, _has_too_large_metadata),
    (_TOO_MANY, _has_too_much_metadata),
)


def _size(metadata: Mapping[str, str]) -> int:
    return sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items())


def _time_ns(text: str) -> int | None:
    """Parse Go's RFC 3339, whole seconds."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) * NS_PER_SECOND
    except ValueError:
        return None
