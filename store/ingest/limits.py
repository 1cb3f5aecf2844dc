"""The limits of pushed entries: Loki's defaults, so that a move to Loki changes nothing.

Source: https://grafana.com/docs/loki/latest/configure/#limits_config
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain

from tracetail.contract.labels import ENTRY_MAX_BYTES, LABEL_COUNT_MAX, LABEL_VALUE_MAX_BYTES
from tracetail.loki.logql import selector
from tracetail.store.disk.block import Entries, Labels, Metadata

LABEL_NAME_MAX_BYTES = 1024
METADATA_MAX_BYTES = 64 * 1024
METADATA_MAX_COUNT = 128
_CHARACTER_MAX_BYTES = 4
"""In UTF-8."""
TOO_FAR_BEHIND_NS = 3600 * 1_000_000_000
"""The largest difference between an entry and the newest entry of its stream (half of Loki's max_chunk_age)."""
TIME_MAX_NS = 2**62
"""Later times (after the year 2116) are refused, so that sums of times fit into 64 bits."""
REFUSALS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The acceptable times, in nanoseconds before and after now; None means no limit."""

    past_ns: int | None
    future_ns: int | None


class Refusals:
    """The reasons why entries of a request were refused, in Loki's words; the first ten are kept."""

    def __init__(self) -> None:
        self.count = 0
        self.messages: list[str] = []

    def add(self, message: str, count: int = 1) -> None:
        """Add the reason why `count` entries were refused."""
        self.count += count
        if len(self.messages) < REFUSALS_SHOWN:
            self.messages.append(message)

    def __bool__(self) -> bool:
        return self.count > 0

    def text(self) -> str:
        """Return the body of the response."""
        more = self.count - len(self.messages)
        return "\n".join([*self.messages, f"and {more} more"] if more > 0 else self.messages)


def check_labels(labels: Labels) -> str | None:
    """Return why a stream with these labels is refused, or None."""
    if not labels:
        return "error at least one label pair is required per stream"
    if len(labels) > LABEL_COUNT_MAX:
        return f"entry for stream '{_selector_text(labels)}' has {len(labels)} label names; limit {LABEL_COUNT_MAX}"
    for name, value in labels:
        if len(name.encode()) > LABEL_NAME_MAX_BYTES:
            return f"stream '{_selector_text(labels)}' has label name too long: '{name[:200]}'"
        if len(value.encode("utf-8", "surrogateescape")) > LABEL_VALUE_MAX_BYTES:
            return f"stream '{_selector_text(labels)}' has label value too long: '{value[:200]}'"
    return None


def check_entries(labels: Labels, entries: Entries, window: TimeWindow, now_ns: int, refusals: Refusals) -> Entries:
    """Return the entries within the limits of time and size; the others are added to refusals."""
    if not entries.times:
        return entries
    oldest = 0 if window.past_ns is None else now_ns - window.past_ns
    newest = TIME_MAX_NS if window.future_ns is None else now_ns + window.future_ns
    metadata_errors = _check_all_metadata(entries.metadata_sets)
    if (
        min(entries.times) >= oldest
        and max(entries.times) <= newest
        and max(map(len, entries.lines)) <= ENTRY_MAX_BYTES
        and not any(metadata_errors)
    ):
        return entries
    accepted = []
    for i, (time_ns, line) in enumerate(zip(entries.times, entries.lines, strict=True)):
        reason = metadata_errors[entries.metadata[i]]
        if len(line) > ENTRY_MAX_BYTES:
            refusals.add(
                f"max entry size '{ENTRY_MAX_BYTES}' bytes exceeded for stream '{_selector_text(labels)}' "
                f"while adding an entry with length '{len(line)}' bytes"
            )
        elif time_ns < oldest:
            refusals.add(
                f"entry for stream '{_selector_text(labels)}' has timestamp too old: {_time(time_ns)}, "
                f"oldest acceptable timestamp is: {_time(oldest)}"
            )
        elif time_ns > newest:
            refusals.add(f"entry for stream '{_selector_text(labels)}' has timestamp too new: {_time(time_ns)}")
        elif reason is not None:
            refusals.add(f"stream '{_selector_text(labels)}' {reason}")
        else:
            accepted.append(i)
    return entries.take(accepted)


def check_order(labels: Labels, entries: Entries, newest_ns: int, refusals: Refusals) -> Entries:
    """Return the entries that are not too far behind the newest of their stream; the others are added to refusals."""
    latest = max(entries.times)
    oldest_ns = max(newest_ns, latest) - TOO_FAR_BEHIND_NS
    if min(entries.times) >= oldest_ns:
        return entries
    accepted = _not_too_far_behind(entries.times, newest_ns)
    accepted_set = set(accepted)
    behind = [i for i in range(len(entries)) if i not in accepted_set]
    for i in behind:
        refusals.add(
            f"entry with timestamp {_time(entries.times[i])} ignored, reason: 'entry too far behind, "
            f"oldest acceptable timestamp is: {_time(oldest_ns)}',"
        )
    refusals.add(f"total ignored: {len(behind)} out of {len(entries)} for stream: {_selector_text(labels)}", count=0)
    return entries.take(accepted)


def _not_too_far_behind(times: Sequence[int], newest: int) -> list[int]:
    """Return the indices of the entries that Loki would accept, which checks one entry after the other."""
    accepted = []
    for i, time_ns in enumerate(times):
        newest = max(newest, time_ns)
        if time_ns >= newest - TOO_FAR_BEHIND_NS:
            accepted.append(i)
    return accepted


def _check_all_metadata(sets: Sequence[Metadata]) -> list[str | None]:
    """Return for each metadata set why it is refused, or None. Sets of few short pairs are not looked at singly."""
    count = max(map(len, sets), default=0)
    longest = max((len(name) + len(value) for name, value in set(chain.from_iterable(sets))), default=0)
    if count <= METADATA_MAX_COUNT and count * longest * _CHARACTER_MAX_BYTES <= METADATA_MAX_BYTES:
        return [None] * len(sets)
    return [_check_metadata(metadata) for metadata in sets]


def _check_metadata(metadata: Metadata) -> str | None:
    if len(metadata) > METADATA_MAX_COUNT:
        return f"has too many structured metadata labels: {len(metadata)}, limit: {METADATA_MAX_COUNT}"
    size = sum(len(name) + len(value.encode("utf-8", "replace")) for name, value in metadata)
    if size > METADATA_MAX_BYTES:
        return f"has structured metadata too large: {size} bytes, limit: {METADATA_MAX_BYTES}"
    return None


def _selector_text(labels: Labels) -> str:
    text = selector(dict(labels))
    return text if len(text) <= 1000 else text[:1000] + "…"


def _time(time_ns: int) -> str:
    try:
        return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{time_ns}ns"
