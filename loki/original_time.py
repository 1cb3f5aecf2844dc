"""The own time of an entry that is sent under another one: in its metadata `original_time`, or before its text.

An entry's time is changed when Loki refuses it for its time, and when it would not come after the entry before it.
"""

import re
import time

from tracetail.contract.labels import METADATA_ORIGINAL_TIME
from tracetail.contract.logline import parse_stamp
from tracetail.loki import entries

_BEFORE_TEXT = re.compile(rf"\[{METADATA_ORIGINAL_TIME}=(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{9}}Z)\] ")


def told(text: bytes, own_ns: int, *, structured_metadata: bool) -> tuple[bytes, bytes]:
    """Return the text of an entry that tells its own time, and what comes to its metadata."""
    own = _rfc3339(own_ns)
    if structured_metadata:
        return text, entries.metadata({METADATA_ORIGINAL_TIME: own})
    return f"[{METADATA_ORIGINAL_TIME}={own}] ".encode() + text, b""


def is_told(entry: entries.Entry) -> bool:
    """Say whether an entry tells another time than it has already."""
    if METADATA_ORIGINAL_TIME in entries.decode_metadata(entry.meta):
        return True
    return _BEFORE_TEXT.match(entry.text.decode(errors="replace")) is not None


def untold(text: str, metadata: str | None) -> tuple[str, int | None]:
    """Return an entry's text without its own time, and that time; None if it tells none.

    metadata: its original_time, if it has any.
    """
    if metadata is None and (match := _BEFORE_TEXT.match(text)):
        metadata, text = match[1], text[match.end() :]
    return text, None if metadata is None else parse_stamp(metadata.removesuffix("Z").encode() + b"+00:00")


def _rfc3339(time_ns: int) -> str:
    seconds, nanos = divmod(time_ns, entries.SECOND)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanos:09d}Z"
