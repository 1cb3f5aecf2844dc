"""Keeps the original time of an entry that is stored under another one.

An entry gets another time when Loki refuses its own, or when its own is not after that of the entry before it. The
original one is kept in the metadata `original_time`; for a Loki without structured metadata it is a prefix of the
text: `[original_time=…Z] `.
"""

import re
import time

from tracetail.contract.labels import METADATA_ORIGINAL_TIME
from tracetail.contract.logline import parse_stamp
from tracetail.loki.entries import NS_PER_SECOND, Entry, decode_metadata, encode_metadata

_PREFIX = re.compile(rf"\[{METADATA_ORIGINAL_TIME}=(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{9}}Z)\] ")


def with_original_time(text: bytes, original_ns: int, *, structured_metadata: bool) -> tuple[bytes, bytes]:
    """Return the text of an entry that gets another time, and encoded metadata to append to its own."""
    shown = _rfc3339(original_ns)
    if structured_metadata:
        return text, encode_metadata({METADATA_ORIGINAL_TIME: shown})
    return f"[{METADATA_ORIGINAL_TIME}={shown}] ".encode() + text, b""


def retimed(entry: Entry, time_ns: int, *, structured_metadata: bool) -> Entry:
    """Return an entry with another time, and its original one beside the text."""
    if has_original_time(entry):
        return Entry(time_ns, entry.text, entry.meta)
    text, meta = with_original_time(entry.text, entry.time_ns, structured_metadata=structured_metadata)
    return Entry(time_ns, text, entry.meta + meta)


def has_original_time(entry: Entry) -> bool:
    """Return whether an entry carries an original time."""
    if METADATA_ORIGINAL_TIME in decode_metadata(entry.meta):
        return True
    return _PREFIX.match(entry.text.decode(errors="replace")) is not None


def split_original_time(text: str, metadata: str | None) -> tuple[str, int | None]:
    """Return an entry's text without the prefix, and its original time in nanoseconds; None if it carries none.

    metadata: the value of its metadata `original_time`, if it has any.
    """
    if metadata is None and (match := _PREFIX.match(text)):
        metadata, text = match[1], text[match.end() :]
    return text, None if metadata is None else parse_stamp(metadata.removesuffix("Z").encode() + b"+00:00")


def _rfc3339(time_ns: int) -> str:
    seconds, nanos = divmod(time_ns, NS_PER_SECOND)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanos:09d}Z"
