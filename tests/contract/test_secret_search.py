"""Both searches for lines that may contain a secret find the same ones, and the same patterns to try on them."""

import itertools
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetail.contract import needles, redaction, secret_search
from tracetail.contract.masking import DEFAULT_PATTERNS
from tracetail.contract.redaction import Redactor
from tracetail.contract.secret_pattern import Pattern, Trigger
from tracetail.contract.secret_search import ExpressionSearch, NeedleSearch

DATA = Path(__file__).parents[1] / "data"
PATTERNS = (*DEFAULT_PATTERNS, Pattern("extra[0]", r"(card )[0-9]{4}"))
KEYWORDS = sorted({keyword for pattern in PATTERNS for keyword in pattern.keywords})
WITHOUT_TRIGGER = sorted({word for pattern in PATTERNS if not pattern.trigger for word in pattern.keywords})
REDACTOR = Redactor(PATTERNS)
TRIGGERS = [pattern.trigger for pattern in PATTERNS if pattern.trigger]
TRIGGER_OF = {
    number: re.compile(pattern.trigger.regex.encode()) for number, pattern in enumerate(PATTERNS) if pattern.trigger
}


@pytest.fixture(scope="module", autouse=True)
def compiled():
    if needles.Finder is None:
        why = "the loops were not compiled: there was no C compiler when tracetail was installed"
        pytest.fail(why) if os.environ.get("TRACETAIL_TEST_REQUIRE_PROGRAMS") else pytest.skip(why)


@pytest.fixture(scope="module")
def by_needles(compiled):
    return NeedleSearch(PATTERNS)


@pytest.fixture(scope="module")
def by_expressions():
    return ExpressionSearch(PATTERNS)


@pytest.fixture(scope="module")
def redactors(compiled):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redaction, "search_for", ExpressionSearch)
        plain = Redactor(PATTERNS)
    return Redactor(PATTERNS), plain


def in_some_case(text):
    return st.lists(st.booleans(), min_size=len(text), max_size=len(text)).map(
        lambda upper: "".join(c.upper() if up else c for c, up in zip(text, upper, strict=True))
    )


def a_run(trigger):
    letters = st.from_regex(f"[{trigger.alphabet}]{{{trigger.length - 1},{trigger.length + 1}}}", fullmatch=True)
    start = st.sampled_from(trigger.starts or ("",))
    return st.tuples(st.sampled_from(["", "x", " ", "_", "\u5bc6"]), start, letters, st.just(trigger.end)).map(
        "".join
    )


keyword = st.sampled_from(KEYWORDS)
part = st.one_of(
    keyword,
    keyword.flatmap(in_some_case),
    keyword.flatmap(lambda word: st.integers(1, len(word)).map(lambda end: word[:end])),
    st.sampled_from(TRIGGERS).flatmap(a_run),
    st.sampled_from(
        ["card 1234", "k\N{LATIN SMALL LETTER LONG S}", "to\N{KELVIN SIGN}en=", "ПАРОЛЬ: ", "Contraseña=", "№"]
    ),
    st.text(max_size=6),
    st.sampled_from(["0123456789abcdefX", "= ", "'", " "]),
)
lines = st.lists(part, max_size=5).map(lambda parts: "".join(parts).replace("\n", "|").encode(errors="replace"))


def patterns_that_may_match(search, line):
    """Those that a search returns, without those with a keyword in the line whose trigger is not there."""
    return [number for number in search.patterns(line) if number not in TRIGGER_OF or TRIGGER_OF[number].search(line)]


@given(st.lists(lines, max_size=8))
def test_both_find_the_same_lines(by_needles, by_expressions, block):
    text = b"\n".join(block)
    found = [line for line in by_needles.lines(text) if line[0] < line[1]]
    wanted = [
        line
        for line in by_expressions.lines(text)
        if line[0] < line[1] and patterns_that_may_match(by_expressions, text[slice(*line)])
    ]
    # Of a word in another script a part may be all that is looked for.
    assert set(found) >= set(wanted)
    assert all((line in wanted) or not text[slice(*line)].isascii() for line in found)


@given(lines)
def test_both_find_the_same_patterns(by_needles, by_expressions, line):
    found, wanted = by_needles.patterns(line), patterns_that_may_match(by_expressions, line)
    assert set(found) >= set(wanted)
    # The user's own patterns are tried on every line that is looked at.
    assert not line.isascii() or set(found) - set(wanted) <= {len(PATTERNS) - 1}


@given(st.lists(lines, max_size=6))
def test_both_mask_the_same(redactors, block):
    fast, plain = redactors
    text = b"\n".join(block)
    assert fast.redact(text) == plain.redact(text)


def test_each_keyword_is_found_in_a_line(by_needles):
    for word in WITHOUT_TRIGGER:
        text = f"first\nbefore {word}".encode()
        assert list(by_needles.lines(text + b" behind\nlast")) == [(6, len(text) + 7)], word
        assert list(by_needles.lines(text)) == [(6, len(text))], word
        assert list(by_needles.lines(word.upper().encode())) or not word.isascii(), word


@pytest.mark.parametrize("number", TRIGGER_OF)
def test_the_beginning_of_a_token_counts_with_the_run_behind_it_only(by_needles, number):
    trigger = PATTERNS[number].trigger
    letter = next(letter for letter in "7zZ" if re.match(f"[{trigger.alphabet}]", letter))
    run = letter * trigger.length + trigger.end
    for start in filter(None, trigger.starts):
        assert number in by_needles.patterns(f"key {start}{run} last".encode()), start
        assert number not in by_needles.patterns(f"the {start}() of {run}".encode()), start
        assert number not in by_needles.patterns(f"no_{start}{run}".encode()), start


@pytest.mark.parametrize("length", range(1, 40))
def test_a_run_is_found_by_its_very_length(length):
    search = NeedleSearch((Pattern("hex", "([0-9a-f]{32}[.])", trigger=Trigger((), "0-9a-f", 32, ".")),))
    for before in ("", "x" * 7 + " ", "-" * 31):
        for behind in (".", ".x", "", "g."):
            line = f"{before}{'7a' * 20}"[: len(before) + length].encode() + behind.encode()
            assert bool(list(search.lines(line))) == (length == 32 and behind.startswith(".")), line


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (b"    - name: HF_TOKEN", b"      value: hunter2x"),
        (b"      --api-key", b"      hunter2x"),
        (b"    - --api-key", b"    - hunter2x"),
        (b"password: >-", b"  hunter2x"),
        (b'  "--hf-token",', b'  "hunter2x"'),
    ],
)
def test_a_line_that_ends_in_a_name_is_found_by_both(redactors, before, line):
    for redactor in redactors:
        lines = [b"INFO up", before, line, b"INFO ready"]
        assert redactor.redact_lines(lines) == 1
        assert lines == [b"INFO up", before, line.replace(b"hunter2x", b"***"), b"INFO ready"]


def test_without_a_compiled_finder_expressions_search(monkeypatch):
    monkeypatch.setattr(needles, "Finder", None)
    assert isinstance(secret_search.search_for(PATTERNS), ExpressionSearch)


@pytest.mark.parametrize(
    "line",
    [
        b"DB_PASS1=hunter2",
        b"smtp_pass_2: hunter2",
        b"pwd3=hunter2",
        b"ROOT_PASSWD01=hunter2",
        b"credential-1=hunter2",
        "密码1：hunter2".encode(),
        b"passphrase_2=hunter2",
        b"GET /?q=password%3Ahunter2",
        b"pwd%3ahunter2",
        b"--proxy_auth=hunter2",
    ],
)
def test_names_with_a_number_or_an_encoded_colon_are_found_by_both(redactors, line):
    for redactor in redactors:
        assert b"hunter2" not in redactor.redact_line(line)[0]


QUOTES = ["'", '"', "`", "&quot;", "&#39;", "\\u0022", '\\"', '\\\\"', "['", '("', "&QUOT;", "\\U0022", ""]


@given(
    st.sampled_from(["api_key", "--db-password", "HF_TOKEN", "secret", "auth"]),
    st.sampled_from(QUOTES),
    st.sampled_from(["=", ": ", " ", "=>", "\\u003d", "%3D", ", "]),
    st.sampled_from(QUOTES),
    st.text("abcXYZ019-_$/&\\u02", min_size=1, max_size=24),
    st.sampled_from(QUOTES),
)
def test_a_line_that_a_pattern_masks_has_what_stands_in_each_match(name, behind, sign, quote, value, end):
    line = f"{name}{behind}{sign}{quote}{value}{end}".encode()
    for number, rule in enumerate(REDACTOR._rules):
        if PATTERNS[number].also and rule.regex.search(line):
            assert rule.may_match(line), rule.name


@pytest.mark.parametrize("logs", ["vllm-logs/*.log", "field-starts/*/log"])
def test_few_places_of_real_logs_are_looked_at_twice(logs):
    users = {needle for pattern in DEFAULT_PATTERNS for needle in needles.needles_of(pattern) if needle.text[1:]}
    marked = set()
    for needle in needles.placed(users):
        text, either = (column[needle.rarest - 2 : needle.rarest] for column in (needle.text, needle.either))
        marked |= {bytes((text[0] ^ a, text[1] ^ b)) for a in {0, either[0]} for b in {0, either[1]}}
    texts = [path.read_bytes() for path in sorted(DATA.glob(logs))[:60]]
    found = sum(pair in marked for text in texts for pair in map(bytes, itertools.pairwise(text)))
    assert 0 < found < 0.07 * sum(map(len, texts)), "a new keyword has bytes that are frequent in logs"
