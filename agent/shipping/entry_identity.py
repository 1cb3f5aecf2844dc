"""The identity of an entry, for outputs that may get it twice: where it comes from, its time, and a checksum.

Times are unique within a log, and the journal repeats them after a crash: the same entry has the same identity each
time it is sent.
"""

import zlib
from collections.abc import Mapping

from tracetail.agent.checked_settings import FILENAME
from tracetail.contract.labels import HOST, LAUNCH_ID


def source_of(labels: Mapping[str, str]) -> bytes:
    """Return what names the log of a stream: the launch; of other files host and path."""
    source = labels.get(LAUNCH_ID) or f"{labels.get(HOST, '')}:{labels.get(FILENAME, '')}"
    return source.encode()


def identity_of(source: bytes, time_ns: int, text: bytes) -> bytes:
    """Return the identity of an entry. source: what source_of returns for its stream."""
    return b"%b@%d-%08x" % (source, time_ns, zlib.crc32(text))
