"""The encodings of followed files: where their lines end, and how their bytes become UTF-8.

A byte-order mark chooses the encoding by itself. Without one it is that of the source; without that, UTF-8.
"""

import codecs
import functools
from dataclasses import dataclass

DEFAULT = "utf-8"
MARK_MAX_BYTES = 4
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, DEFAULT),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NOT_OF_FILES = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
_WITHOUT_MARK = {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": DEFAULT}
"""What a file without a mark has if the encoding's name leaves that to the mark. Windows writes little-endian."""
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}".encode()


@dataclass(frozen=True, slots=True)
class Codec:
    """How one file is decoded."""

    name: str
    newline: bytes
    """A line end, encoded; it begins at a multiple of its length."""

    @property
    def is_utf8(self) -> bool:
        """Its bytes are shipped as they are."""
        return self.name == DEFAULT

    @property
    def has_nuls(self) -> bool:
        """NULs are part of its characters."""
        return len(self.newline) > 1

    def after_last_line(self, data: bytes) -> int:
        """Return the offset behind the last line end; 0 if there is none."""
        width = len(self.newline)
        at = data.rfind(self.newline)
        while at >= 0 and at % width:
            at = data.rfind(self.newline, 0, at + width - 1)
        return at + width if at >= 0 else 0

    def whole_characters(self, data: bytes, limit: int) -> int:
        """Return how many of the first `limit` bytes are whole characters; all if none is of this encoding."""
        if self.is_utf8:
            for end in range(min(limit, len(data)), max(0, limit - 4), -1):
                if end == len(data) or data[end] & 0xC0 != 0x80:
                    return end
            return limit
        decoder = codecs.getincrementaldecoder(self.name)("replace")
        decoder.decode(data[:limit])
        return (limit - len(decoder.getstate()[0])) or limit

    def to_utf8(self, data: bytes, start: int) -> bytes:
        """Return data, which is at offset `start` of its file, in UTF-8, without a byte-order mark."""
        text = data if self.is_utf8 else data.decode(self.name, "replace").encode()
        return text.removeprefix(_MARK) if start == 0 else text


@functools.cache
def codec_of(name: str) -> Codec:
    """Return the codec of this name. Raises LookupError, ValueError."""
    found = codecs.lookup(name).name
    if found in _NOT_OF_FILES:
        raise ValueError(f"{name} is not an encoding of text files")
    resolved = _WITHOUT_MARK.get(found, found)
    # For a codec that is not between text and bytes (base64, rot13) this raises a LookupError.
    return Codec(resolved, "\n".encode(resolved))


def detect(head: bytes, name: str) -> Codec:
    """Return the codec of a file with these first bytes (MARK_MAX_BYTES are enough).

    name: of the source's encoding; empty for UTF-8.
    """
    for mark, marked in _MARKS:
        if head.startswith(mark):
            return codec_of(marked)
    return codec_of(name or DEFAULT)
