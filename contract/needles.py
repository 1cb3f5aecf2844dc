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
    b'  er, in^^or: on 1reene tiespy "lenepi11d=setoceut pvetengll.p]  [roiddestlir alitco)  iy:ed-2ra1-acatke:1'
    b'octhe_ncINetodiln menalmunprrvartrelchnt26NFFOheanlaioss t",ns6 d  s le,ect  I/vge":s r.hosiSemo/lcaop re"'
    b"perindO lsagisamlo15PIauAP 'vlasou13gi_cIS:3(Aomct c2 s/eapamp3:ta1/ckcuap a_s F.1 f:0r_s.:422':ib5:aiexm/"
    b"t_maCousrk:5.0_eul:2 Eg  eabplno_p0.adnipt20En16 0d_10 m=1s:bl /ruigrm_m1 mudiltfi6:rn Rdsnf12l_ Mn_foue5]"
    b"0:ytERe-/pFa -e:t/e.eC190 po d btsORurm_c_NosaRO/o w_rR RRipqu/stuv1Tr (izeIId95s=Fi0,0027_a3.Wopub/n3l im"
    b'barss_e=icwaxe-p/cMe TfuypRo1:OS[l(E oduokSTm.tyka69_irt_t PPOzery_n. o sprr=5"/[cy"nvda06=3eqrcud44=Ngsy '
    b's,dott8:4 17up=20102d.5 _l- \',14epPr34s"bu30(W_w4650shm 58"pgr/eemn.uc9)oa=F56/m 27 0)evowcpwo1.v/nk3][m W'
    b"38rgotph90=4\"viv05hi__8 h_e'32sooi40ir=tk clmi5108i_], u1] n_u_bt1luhaoop_-17]huscfa[t 5ppARva=063=i24sy--"
    b'beNG29r"tpieWANIwnRNi14989=[.lr/47wi0]183  Nr:03TP579 _d1, C `aknn4:2348yn6)04_f7521G 3136_oay.e H/d.c7.9:'
    b"g=` p=s' G6-g_-0axviuaET'cms93Ma/te/2533ol[a Std28 ^efddx_biErcs53/1'n4539['']u_T osldy_ui-cnP5507/r7)O:3,"
    b'mmog5)GEh 35umia[s"l"afr=\' _"n09Naee"m[]kiln52{""2"}sNg:AD Dp TT66._=T2:/at=HT A_qCP8)72 kn/ht1)ly.aob"Pci'
    b'5,/u" "In\'PUf. OP/Wa V2, v h"M2)59t.O"Fo4)cclfRe[092"AP kvsua  L43n]t\'tc[-h.0m3)1"8]d,37r(ps_C gl.= g. ='
    b"2.DPofAp6476s)LMUsRuRE):'f6]g(83n=e)srggoe),_PMo:7t:4]OKTh {n(a_7:_veb658641xt62'e..crwesk()f l/fem=xi54-l"
    b"ny2]Opl-.rbo:6**p./iLOt-94'ak=70//iS[v8,y=68cm(m_Dbst):9.veir'gni/r,gh82P0btD__k Us('tfluvt,-m88g'91za84c "
    b"ugIny.PRv_},U .dLLrl_h(v60:/4,{'98OAglEL'd42xpn-xc.i/gg/byt(MP96-srdgpjiy''mEA_T <eE-ewrr=85c.C.hr/hDeSttl"
    b'kw0""tov-nk_LDdp *99`tMA.mDA61o\'nlr-77/_p`A ).CUafeol\'sn_gUD(s81 4UM.wVl2/M \\"mW78V1NUnu"Eo_Ca; .2-d.g[r'
    b"=nd:ub'i"
)
"""The pairs of bytes that are most frequent in the logs of tests/data, the most frequent first."""
_FREQUENCIES = {_FREQUENT[at : at + 2]: 1 / (15 + at / 2) for at in range(0, len(_FREQUENT), 2)}
_RARE = 1 / len(_FREQUENT)
"""Numbers that grow as the frequency (Zipf's law): by pair, and that of any other pair."""
_COMPARE = 0.2
"""What it costs that a needle is compared with a text, relative to a look at the bytes by which it is found."""


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
        costs = [_frequency(text[end - 2 : end], either[end - 2 : end]) for end in range(2, len(text) + 1)]
        least = None
        for end in range(_LEAST_BYTES, len(text) + 1):
            pair = text[end - 2 : end], either[end - 2 : end]
            compared = min(costs[max(0, end - 4) : end - 1]) * (1 + by_bytes[text[max(0, end - 4) : end]])
            cost = _COMPARE * compared + (0 if pair in chosen else costs[end - 2])
            if least is None or cost < least:
                least, rarest, rarest_pair = cost, end, pair
        if least is not None:
            chosen.add(rarest_pair)
            by_bytes[text[max(0, rarest - 4) : rarest]] += 1
            found[number] = needle._replace(rarest=rarest)
    return found


@functools.cache
def _frequency(text: bytes, either: bytes) -> float:
    return sum(
        _FREQUENCIES.get(bytes((first, second)), _RARE)
        for first in {text[0], text[0] ^ either[0]}
        for second in {text[1], text[1] ^ either[1]}
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
