"""Which texts are secrets: the one list for log lines, command lines, tails, evidence, callbacks and posted lines.

The patterns are regular expressions that RE2 and Python's `re` read alike. `contract.redaction` applies them with RE2
to whole blocks of log lines; the functions here apply them with `re` to short texts, so that the keeper, which may
import the standard library only, masks what the others mask.
"""

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

MASK = "***"


class Pattern(NamedTuple):
    """One kind of secret."""

    name: str
    regex: str
    """Syntax common to RE2 and `re`. Group 1 is kept in front of the mask; the rest of the match is replaced."""
    kept_behind: str = ""
    """What stands at the end of each match and is kept behind the mask."""


# Names of settings and variables that hold a secret; longer names that end with one do too (VLLM_API_KEY).
_NAME = (
    r"(?:api[_-]?key|access[_-]?token|auth[_-]?token|hf[_-]?token|secret[_-]?key|client[_-]?secret|passwd|password)"
)
# A flag's name may be shorter than a setting's: what is printed as `token: ` is mostly one of a tokenizer.
_FLAG_ENDING = r"(?:key|keys|token|password|passwd|secret)"
_FLAG = r"(?:-|^|[^a-z0-9_\r\n-])-(?:[a-z0-9]+[_-])*" + _FLAG_ENDING

_QUOTE = r"""\\?['"]"""
"""Escaped in a line that is JSON, or in an event's logfmt."""


def _value(excluded: str) -> str:
    """Return the pattern of a value without some characters; a backslash at its end escapes what follows it."""
    return rf"[^{excluded}]*[^{excluded}\\]"


_QUOTED_VALUE = _value(r"""'"\r\n""")

DEFAULT_PATTERNS = (
    Pattern("key-value-list", rf"""(?i)({_NAME}(?:{_QUOTE})?\s{{0,3}}[=:]\s{{0,3}}\[)[^\]\r\n*]+"""),
    Pattern("key-value", rf"""(?i)({_NAME}(?:{_QUOTE})?\s{{0,3}}[=:]\s{{0,3}}{_QUOTE}){_QUOTED_VALUE}"""),
    Pattern(
        "key-value-bare",
        rf"(?i)({_NAME}(?:=|\s{{1,3}}=\s{{1,3}}|:\s{{0,3}}))" + _value(r"""\s'",;)\[\]}*"""),
    ),
    Pattern("flag-quoted", rf"(?im)({_FLAG}(?:{_QUOTE})?(?:=|,[ \t]{{0,3}}|[ \t]{{1,3}}){_QUOTE}){_QUOTED_VALUE}"),
    Pattern("flag", rf"(?im)({_FLAG}(?:=|[ \t]{{1,3}}))" + _value(r"""\s'",\]""")),
    Pattern("bearer", r"(?i)(\b(?:bearer|basic)[ \t]+)[A-Za-z0-9._~+/=-]{8,}"),
    Pattern("openai", r"(\bsk-)[A-Za-z0-9_-]{16,200}"),
    Pattern("huggingface", r"(\bhf_)[A-Za-z0-9]{16,200}"),
    Pattern("aws-id", r"(\b(?:AKIA|ASIA))[A-Z0-9]{16}\b"),
    Pattern(
        "aws-secret",
        r"(?i)(\baws_?(?:secret_?access_?key|session_?token)['\"]?\s{0,3}[=:]\s{0,3}['\"]?)[A-Za-z0-9/+=]{16,}",
    ),
    Pattern(
        "url-password", r"(\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:/@'\"]{0,200}:)[^\s/@'\"]{1,200}@", kept_behind="@"
    ),
)

_SECRET_FLAG = re.compile(rf"(?i)-{{1,2}}(?:[a-z0-9]+[_-])*{_FLAG_ENDING}")


def mask_text(text: str) -> str:
    """Return a short text with its secrets masked, line by line."""
    return "\n".join(map(_mask_line, text.split("\n")))


def mask_command_line(words: Iterable[str]) -> list[str]:
    """Return a command line with its secrets masked: all values of a flag for secrets, up to the next flag."""
    masked = []
    in_secret_flag = False
    for word in words:
        flag, equals, _ = word.partition("=")
        if word.startswith("-"):
            in_secret_flag = _SECRET_FLAG.fullmatch(flag) is not None
            masked.append(f"{flag}={MASK}" if in_secret_flag and equals else mask_text(word))
        else:
            masked.append(MASK if in_secret_flag else mask_text(word))
    return masked


def _mask_line(line: str) -> str:
    data = line.encode(errors="surrogateescape")
    for regex, replacement in _compiled_patterns():
        data = regex.sub(replacement, data)
    return data.decode(errors="surrogateescape")


@functools.cache
def _compiled_patterns() -> list[tuple[re.Pattern[bytes], bytes]]:
    return [
        (re.compile(pattern.regex.encode()), rf"\1{MASK}{pattern.kept_behind}".encode())
        for pattern in DEFAULT_PATTERNS
    ]
