"""Recognises files that are no logs, by their first bytes: databases, archives, lastlog, programs."""

import re

SAMPLE_BYTES = 4096
_MAGIC = (
    b"\x1f\x8b",  # gzip
    b"BZh",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",  # zstd
    b"\x04\x22\x4d\x18",  # lz4
    b"PK\x03\x04",
    b"\x7fELF",
    b"SQLite format 3\0",
    b"LPKSHHRH",  # systemd's journal
)
CONTAINER_LINE = re.compile(rb'\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) std(?:out|err) [FP] |{"log":"')
"""What a container's runtime writes before a line: the log is one, whatever the program printed."""
_OF_TEXT = b"\b\t\n\v\f\r\x1b"
_NOT_OF_TEXT = bytes(set(range(32)) - set(_OF_TEXT)) + b"\x7f"
_HOLES = re.compile(rb"\0{16,}")
_HOLES_MAX = 3
"""A log may have runs of NULs: a hole that a truncation left, or space for lines to come. Records of login times have
many."""
_SHARE_MAX = 0.05
_COUNT_MAX = 2
"""A log may have a few odd bytes: what somebody made a server print."""


def looks_binary(sample: bytes) -> bool:
    """Return whether a file is not text in any encoding whose control characters are those of ASCII.

    sample: its first bytes that are not NUL. A file in UTF-16 or UTF-32 has to be recognised before.
    """
    if sample.startswith(_MAGIC):
        return True
    if CONTAINER_LINE.match(sample):
        return False
    if len(_HOLES.findall(sample)) <= _HOLES_MAX:
        sample = _HOLES.sub(b"", sample)
    odd = len(sample) - len(sample.translate(None, _NOT_OF_TEXT))
    return odd > max(_COUNT_MAX, len(sample) * _SHARE_MAX)
