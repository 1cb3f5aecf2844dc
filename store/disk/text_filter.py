"""Tells whether a block's text can contain a text, without the block: a search skips the blocks that cannot.

A filter is a set of 65,536 bits. In it are, without the case of ASCII letters,

- every three successive bytes of the text, hashed: whatever part of a line is looked for, all its threes are there;
- of every run of 16 letters and digits (a request id, a hash) the smallest hash of its parts of 8. Threes of digits
  are in every block, parts of 8 are not; and two equal runs of 16 have the same smallest part, wherever they begin.

A block has no filter where the loop is not compiled (_text_filter.pyx), or if its text has one of the two characters
that are no ASCII letters, but match one when case is ignored.
"""

import functools
import re

import cramjam

from tracetail.store.disk.block import ZSTD_LEVEL, CorruptBlockError

BITS = 1 << 16
GRAM = 8
WINDOW = 9
"""The number of grams of which the smallest is kept."""
TRIGRAM_FACTOR = 0x9E3779B1
GRAM_FACTOR = 0x9E3779B97F4A7C15
_RUN = re.compile(rb"[a-z0-9]{%d,}" % (GRAM + WINDOW - 1))
_DECODED_MAX = 256
"""The decoded filters that are kept: 3 MB. What is searched is searched again, with other texts."""
_MATCH_ASCII = ("\u017f".encode(), "\u212a".encode())
"""Long s and the sign of kelvin."""

try:
    from tracetail.store.disk._text_filter import bits_of_text
except ImportError:
    bits_of_text = None


def encode_filter(text: bytes) -> bytes | None:
    """Return the encoded filter of a text, if it can have one."""
    if bits_of_text is None:
        return None
    if not text.isascii() and any(character in text for character in _MATCH_ASCII):
        return None
    return bytes(cramjam.zstd.compress(bits_of_text(text), ZSTD_LEVEL))


@functools.lru_cache(maxsize=_DECODED_MAX)
def decode_filter(data: bytes) -> bytes:
    """Return the filter. Raises CorruptBlockError."""
    try:
        bits = bytes(cramjam.zstd.decompress(data))
    except cramjam.DecompressionError as error:
        raise CorruptBlockError(f"a block's text filter cannot be read: {error}") from error
    if len(bits) * 8 != BITS:
        raise CorruptBlockError(f"a block's text filter has {len(bits)} bytes")
    return bits


def required_bits(text: bytes, *, ignore_case: bool) -> frozenset[int]:
    """Return the bits that the filter of any text with this one in it has.

    ignore_case: whether letters that are not ASCII may differ in case, too.
    """
    text = text.lower()
    threes = (text[i : i + 3] for i in range(len(text) - 2))
    bits = {_trigram_bit(three) for three in threes if three.isascii() or not ignore_case}
    for run in _RUN.findall(text):
        hashes = [_hash(int.from_bytes(run[i : i + GRAM], "little")) for i in range(len(run) - GRAM + 1)]
        windows = (hashes[i : i + WINDOW] for i in range(len(hashes) - WINDOW + 1))
        # Hashed again: the smallest of several hashes are all small.
        bits.update(_hash(min(window)) * BITS >> 64 for window in windows)
    return frozenset(bits)


def has_bits(bits: bytes, required: frozenset[int]) -> bool:
    """Return whether a filter has all the required bits."""
    return all(bits[bit >> 3] >> (bit & 7) & 1 for bit in required)


def _trigram_bit(three: bytes) -> int:
    return (int.from_bytes(three, "little") * TRIGRAM_FACTOR & 0xFFFFFFFF) * BITS >> 32


def _hash(number: int) -> int:
    return number * GRAM_FACTOR & 0xFFFFFFFFFFFFFFFF
