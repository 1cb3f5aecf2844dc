"""Short texts by which a line that may contain a secret is found, many at once.

`Finder` (_needles.pyx) looks for all of them in one pass over a text; it is None where nothing was compiled.
"""

import contextlib
import functools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
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
    b'erincensOSesonenmeree"d=ti  veorrosstostnale13seutocamprratr22ngINteetalpie edac-2kedeatcopyane_ideIIdit.pch'
    b'ioodAPPIhey:Se.0ISpearthellantged tavl_plictouauris=asoms aglspls"t op_seands.n calo/vr.n_dss_issahom_si'
    b"s:quecokt11/ap_te:ai1.imm.v1t_g magiPOSTtyabpad_rur_ts56pousl_igyppuevCoRoTrsc/crnspnfe=adEn_mfiniurp_.l"
    b's/tuPr-1Naudibfo_aicn.dicuiz_lckrydoeCba89waMa.ett_eTPrkoiT /1ake.ogptl emivTTrtkiduowshd.y exP/" hitp_o'
    b"msnkphgrdahuulh_ipbee'lug=t=cpcly=obgsc_woe-g_t/m/i_ARNINGET_ucix_.ciat:/spphaieOK.as'-0GEnv_dcm/og:Reso"
    b"uacsoaa_ccy_biWon=/rn]G l-faADk 25gg65gp34va48rgg.u_skPUn3oognk=uildotT\"t' kbt-pka_k-clymmay01C..in'UsFi"
    b"h.hrh OprdRE29ofThpsg'feEA/iPawe/acr//41eia t.0-l'xiy\"SagPAdjirl.. K94-9i/_v"
)
"""The pairs of bytes of needles that are most frequent in the logs of tests/data, the most frequent first."""
_FREQUENCIES = {_FREQUENT[at : at + 2]: len(_FREQUENT) - at for at in range(0, len(_FREQUENT), 2)}
"""By pair: a number that is the larger, the more frequent it is."""


class Needle(NamedTuple):
    """A text to be found, and the run of characters that has to stand behind it, if any."""

    text: bytes
    """Three bytes or more, a single one, or none if the run is all."""
    either: bytes
    """As long as text: 0x20 for a byte that may have this bit or not, 0 for any other."""
    rarest: int = 0
    """Offset behind the two bytes of text by which it is found, which `placed` chooses; at least 3."""
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
    return Needle(text, bytes(len(text)))


def placed(needles: Iterable[Needle]) -> list[Needle]:
    """Return needles with the bytes by which each is found: rare ones, few of them, few needles by the same."""
    found = list(needles)
    chosen: set[tuple[bytes, bytes]] = set()
    by_bytes: Counter[bytes] = Counter()
    # A short one has little choice; the others take what is chosen already.
    for number in sorted(range(len(found)), key=lambda number: len(found[number].text)):
        needle = found[number]
        text, either = needle.text, needle.either
        least = None
        for end in range(_LEAST_BYTES, len(text) + 1):
            pair = text[end - 2 : end], either[end - 2 : end]
            cost = by_bytes[text[max(0, end - 4) : end]] + (0 if pair in chosen else _frequency(*pair))
            if least is None or cost < least:
                least, rarest, rarest_pair = cost, end, pair
        if least is not None:
            chosen.add(rarest_pair)
            by_bytes[text[max(0, rarest - 4) : rarest]] += 1
            found[number] = needle._replace(rarest=rarest)
    return found


@functools.cache
def _frequency(pair: bytes, either: bytes) -> int:
    return sum(
        _FREQUENCIES.get(bytes((first, second)), 0)
        for first in {pair[0], pair[0] ^ either[0]}
        for second in {pair[1], pair[1] ^ either[1]}
    )


@functools.cache
def _caseless(keyword: str) -> Needle | None:
    """Return the needle of a keyword, or of the longest part of it whose two cases differ in one bit a byte."""
    if keyword.isascii() and len(keyword) != 2:
        word = keyword.encode()
        return Needle(word, word.translate(_CASE_BITS))
    parts: list[tuple[bytearray, bytearray]] = [(bytearray(), bytearray())]
    for character in keyword:
        lower, upper = character.lower().encode(), character.upper().encode()
        if len(lower) != len(upper) or any((a ^ b) & ~_CASE_BIT for a, b in zip(lower, upper, strict=True)):
            parts.append((bytearray(), bytearray()))
            continue
        parts[-1][0].extend(lower)
        parts[-1][1].extend(a ^ b for a, b in zip(lower, upper, strict=True))
    text, either = max(parts, key=lambda part: len(part[0]))
    return Needle(bytes(text), bytes(either)) if len(text) >= _LEAST_BYTES or len(keyword.encode()) == 1 else None


def _triggering(trigger: Trigger) -> Iterator[Needle]:
    alphabet = _table(trigger.alphabet)
    letters = [chr(byte) for byte in range(_ASCII) if alphabet[byte]]
    end = ord(trigger.end) if trigger.end else -1
    starts = [(start, trigger.length) for start in trigger.starts or ("",)]
    while starts:
        start, length = starts.pop()
        if 0 < len(start) < _LEAST_BYTES:
            starts += [(start + letter, length - 1) for letter in letters]
        else:
            needle = literal(start.encode())
            yield needle._replace(alphabet=alphabet, length=length, end=end, bounded=True)


@functools.cache
def _table(alphabet: str) -> bytes:
    """Return by a byte: 1 if it is one of an alphabet, as in the brackets of a regular expression."""
    letter = re.compile(f"[{alphabet}]")
    return bytes(byte < _ASCII and letter.match(chr(byte)) is not None for byte in range(256))
