"""One list of secrets: what is masked in a text does not depend on which part masks it."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracetail.contract import masking
from tracetail.contract.masking import DEFAULT_PATTERNS, mask_command_line, mask_text
from tracetail.contract.redaction import Redactor, with_group
from tracetail.contract.secret_pattern import Pattern

REDACTOR = Redactor()
# Pieces of which lines with secrets, and lines nearly with secrets, are made.
PIECES = (
    *("api_key", "VLLM_API_KEY", "password", "HF_TOKEN", "--api-key", "-token", "--db-password", "a-key", "Bearer"),
    *(
        "=",
        " = ",
        ": ",
        " ",
        "'",
        '"',
        '\\"',
        "[",
        "]",
        "', '",
        ",",
        "*",
        "\t",
        "sk-0123456789abcdef01",
        "hf_" + "a" * 20,
    ),
    *("aws_secret_access_key=" + "a" * 20, "x", "密码", "-", "--"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
@example("--api-key sk-1 'api_key': ['a', 'b'] password=密码 x")
def test_short_texts_are_masked_as_blocks_of_log_lines_are(text):
    assert mask_text(text) == REDACTOR.redact(text.encode())[0].decode()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "non-default args: {'api_key': ['zz1', 'zz2'], 'port': 1}",
            "non-default args: {'api_key': [***], 'port': 1}",
        ),
        ("VLLM_API_KEY=zz1 vllm serve", "VLLM_API_KEY=*** vllm serve"),
        ("exec vllm serve --db-password zz1 --port 1", "exec vllm serve --db-password *** --port 1"),
        ("run: '--hf-token' 'z z'", "run: '--hf-token' '***'"),
        ("run: --hf-token 'z z'", "run: --hf-token '***'"),
        ("args: ['--api-key', 'zz1', '--port', '1']", "args: ['--api-key', '***', '--port', '1']"),
        ("-token zz1", "-token ***"),
        (r'{"message": "\"api_key\": \"zz1\", PASSWORD=zz2"}', r'{"message": "\"api_key\": \"***\", PASSWORD=***"}'),
        (r"args: --api-key \"z z\" --hf-token=zz1\"", r"args: --api-key \"***\" --hf-token=***\""),
        ("a foreign-key constraint, eos_token='</s>', --max-num-batched-tokens 8192", None),
        ("key value: key=1 token: 5 tokens/s", None),
        ('File "/x/sglang/srt/utils/hf_transformers/common.py", line 529, in get_tokenizer', None),
    ],
)
def test_what_a_text_is_masked_to(text, masked):
    assert mask_text(text) == (text if masked is None else masked)


@pytest.mark.parametrize(
    "words",
    [
        ["--api-key", "zz1"],
        ["--api-key", "zz1", "zz2"],
        ["--hf_token", "zz1"],
        ["-token", "zz1"],
        ["--token=zz1"],
        ["--api_key=zz1"],
        ["--db-password", "zz1"],
        ["VLLM_API_KEY=zz1"],
        ["bash", "-c", "exec vllm serve --api-key zz1"],
        ["--db=postgres://u:zz1@h/db"],
    ],
)
def test_a_command_line_is_shown_without_its_secrets(words):
    shown = mask_command_line(["vllm", "serve", *words, "--port", "8000"])
    assert "zz" not in " ".join(shown)
    assert shown[-2:] == ["--port", "8000"]


def test_a_text_keeps_its_lines_and_what_is_not_text_in_it():
    assert mask_text("password=\nx\udc80 password: y") == "password=\nx\udc80 password: ***"


def test_each_pattern_keeps_group_1_and_names_keywords_in_lower_case():
    for pattern in DEFAULT_PATTERNS:
        regex = re.compile(pattern.regex)
        assert regex.groups - len(regex.groupindex) == 1, pattern.name
        assert regex.groupindex in ({}, {"harmless": 2}), pattern.name
        assert pattern.keywords or pattern.trigger, pattern.name
        assert all(keyword == keyword.lower() for keyword in pattern.keywords), pattern.name
        ignores_case = "(?i)" in pattern.regex
        assert not (ignores_case and any(letter.isalnum() for text in pattern.also for letter in text)), pattern.name


@pytest.fixture
def users_own():
    def use(**own):
        masking.use({"extra": [], "keep": [], **own})

    yield use
    use()


@pytest.mark.parametrize(
    "text", ["a card 1234 badge-7 of x", "token=abcdef123 card 1111", "HF_TOKEN=demo-key card 12345"]
)
def test_the_users_own_expressions_hold_for_what_a_launch_records(users_own, text):
    extra, keep = [r"(card )\d{4}", r"badge-\d+"], ["card 1111", "demo-key"]
    users_own(extra=extra, keep=keep)
    own = [with_group(Pattern(expression, expression)) for expression in extra]
    assert mask_text(text) == Redactor((*DEFAULT_PATTERNS, *own), keep).redact(text.encode())[0].decode()
    assert masking.users_own() == {"extra": extra, "keep": keep}


def test_an_expression_that_only_re2_reads_is_refused_by_name(users_own):
    with pytest.raises(ValueError, match=r"agent\.redaction\.extra\[1\], '\\\\pL\+', cannot be used"):
        users_own(extra=["a", r"\pL+"])
