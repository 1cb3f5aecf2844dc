"""Short texts by which a line that may contain a secret is found, many at once.

`Finder` (_needles.pyx) looks for all of them in one pass over a text; it is None where nothing was compiled.
"""

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tracetail.contract.secret_pattern import Pattern, Trigger

Finder: Any = None
with contextlib.suppress(ImportError):
    from tracetail.contract._needles import Finder  # type: ignore[no-redef]  # noqa: F401  (for secret_search)

_LEAST_BYTES = 3
"""Of a needle, but for one of a single byte."""
_CASE_BIT = 0x20
_ASCII = 0x80
FOLDED = ("\N{KELVIN SIGN}".encode(), "\N{LATIN SMALL LETTER LONG S}".encode())
"""What an expression that ignores case takes for k and s."""
WORD = bytes(byte < _ASCII and re.match(r"\w", chr(byte)) is not None for byte in range(256))
"""By a byte: 1 if a word may contain it; there is a word boundary where one begins or ends."""

_CASE_BITS = bytes(_CASE_BIT if byte < _ASCII and chr(byte).isalpha() else 0 for byte in range(256))

_FREQUENT = (
    b"  inerorenonree sepirotilecotote.pngutliesvedeitidd=ecacrathaly:n -2stkeapare_at"
    b"isodtrelpred/vetopfintceocsigemenam/holoheiolar.ags/pavlt 1/ndd cackangilss _ee-"
    b"ibptpemariasniauwo/oulnsadr_t/rk_seaomt_usssg d_poigxec_ctltn3abs.ai/stal_ip_pdi"
    b'amkay"urtse.tupupliz_am_rssan_oav1dargiccpry.0s:e"dsdu13l e=ype:ttqugruds_imokrt'
    b"_t/cy cl_ltpem34i_tyd.spshppeioo22otm.ayphoi_usoh_vas=_d01hiow48e'luldivnkie29-c"
    b"lfk /tha/an.p_mmy__ohuu_bix_s'wea g_n/ua-scs36g=n'56 k-l_v.luisch dpfl =.e/r.csu"
)
"""The pairs of bytes of needles that are most frequent in the logs of tests/data, the most frequent first."""
_PLACES = {_FREQUENT[at : at + 2]: at for at in range(len(_FREQUENT) - 2, -1, -2)}


class Needle(NamedTuple):
    """A text to be found, and the run of characters that has to stand behind it, if any."""

    text: bytes
    """Three bytes or more, a single one, or none if the run is all."""
    either: bytes
    """As long as text: 0x20 for a byte that may have this bit or not, 0 for any other."""
    rarest: int = 0
    """Offset behind the two bytes of text that are rarest in logs, by which it is found; at least 3."""
    alphabet: bytes | None = None
    """By a byte: 1 if it may stand in the run."""
    length: int = 0
    """Of the run."""
    end: int = -1
    """The byte behind the run; -1: any."""
    bounded: bool = False
    """There has to be a word boundary in front of it."""


def needles_of(pattern: Pattern) -> list[Needle]:
    """Return needles of which one is found in every line with this kind of secret; [] if they are not known."""
    if pattern.trigger:
        return list(_triggering(pattern.trigger))
    needles = [_caseless(keyword) for keyword in pattern.keywords]
    return [] if None in needles else [needle for needle in needles if needle]


def literal(text: bytes) -> Needle:
    """Return the needle of a text in this very case."""
    return _needle(text, bytes(len(text)))


def _needle(text: bytes, either: bytes) -> Needle:
    rarest, place = 0, -1
    for end in range(_LEAST_BYTES, len(text) + 1):
        at = _PLACES.get(text[end - 2 : end], len(_FREQUENT))
        if at > place:
            rarest, place = end, at
    return Needle(text, either, rarest)


@functools.cache
def _caseless(keyword: str) -> Needle | None:
    """Return the needle of a keyword, or of the longest part of it whose two cases differ in one bit a byte."""
    if keyword.isascii() and len(keyword) != 2:
        word = keyword.encode()
        return _needle(word, word.translate(_CASE_BITS))
    parts: list[tuple[bytearray, bytearray]] = [(bytearray(), bytearray())]
    for character in keyword:
        lower, upper = character.lower().encode(), character.upper().encode()
        if len(lower) != len(upper) or any((a ^ b) & ~_CASE_BIT for a, b in zip(lower, upper, strict=True)):
            parts.append((bytearray(), bytearray()))
            continue
        parts[-1][0].extend(lower)
        parts[-1][1].extend(a ^ b for a, b in zip(lower, upper, strict=True))
    text, either = max(parts, key=lambda part: len(part[0]))
    return _needle(bytes(text), bytes(either)) if len(text) >= _LEAST_BYTES or len(keyword.encode()) == 1 else None


def _triggering(trigger: Trigger) -> Iterator[Needle]:
    letters = [chr(byte) for byte in range(_ASCII) if re.match(f"[{trigger.alphabet}]", chr(byte))]
    alphabet = bytes(chr(byte) in letters for byte in range(256))
    end = ord(trigger.end) if trigger.end else -1
    starts = [(start, trigger.length) for start in trigger.starts or ("",)]
    while starts:
        start, length = starts.pop()
        if 0 < len(start) < _LEAST_BYTES:
            starts += [(start + letter, length - 1) for letter in letters]
        else:
            needle = literal(start.encode())
            yield needle._replace(alphabet=alphabet, length=length, end=end, bounded=True)
