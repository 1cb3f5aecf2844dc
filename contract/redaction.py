"""Takes secrets out of text before it leaves the machine.

Works on whole blocks of lines with google-re2, which is linear in the text whatever it holds. A pattern's first
group is what is kept, the rest of its match becomes `***`. No pattern matches a line end, so lines stay lines.

As a program (`python -m contract.redaction`) it filters stdin to stdout: the keeper, which must stay small, runs it
as a child when it has lines to send.
"""

import sys
from collections.abc import Sequence
from typing import NamedTuple

import re2

MASK = b"***"


class Pattern(NamedTuple):
    """One kind of secret."""

    name: str
    regex: str
    """RE2 syntax; group 1 is kept in front of the mask."""


DEFAULT_PATTERNS = (
    Pattern(
        "key-value",
        r"""(?i)(\b(?:api[_-]?key|access[_-]?token|auth[_-]?token|hf[_-]?token|secret[_-]?key|client[_-]?secret"""
        r"""|passwd|password)['"]?\s{0,3}[=:]\s{0,3}\[?['"])[^'"\r\n]+""",
    ),
    Pattern(
        "key-value-bare",
        r"""(?i)(\b(?:api[_-]?key|access[_-]?token|auth[_-]?token|hf[_-]?token|secret[_-]?key|client[_-]?secret"""
        r"""|passwd|password)(?:=|\s{1,3}=\s{1,3}|:\s{0,3}))[^\s'",;)\]}*]+""",
    ),
    Pattern("flag", r"""(--(?:api-key|hf-token|password)(?:=|[ \t]{1,3}))[^\s'",\]]+"""),
    Pattern("bearer", r"(?i)(\b(?:bearer|basic)[ \t]+)[A-Za-z0-9._~+/=-]{8,}"),
    Pattern("openai", r"(\bsk-)[A-Za-z0-9_-]{16,200}"),
    Pattern("huggingface", r"(\bhf_)[A-Za-z0-9]{16,200}"),
    Pattern("aws-id", r"(\b(?:AKIA|ASIA))[A-Z0-9]{16}\b"),
    Pattern(
        "aws-secret",
        r"(?i)(\baws_?(?:secret_?access_?key|session_?token)['\"]?\s{0,3}[=:]\s{0,3}['\"]?)[A-Za-z0-9/+=]{16,}",
    ),
    Pattern("url-password", r"(\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s:/@'\"]{0,200}:)[^\s/@'\"]{1,200}@"),
)


class InvalidPatternError(ValueError):
    """A redaction pattern is not a regular expression of RE2; the message names it."""


class Redactor:
    """Masks every match of its patterns."""

    def __init__(self, patterns: Sequence[Pattern] = DEFAULT_PATTERNS) -> None:
        self._rules = [(_compile(p), b"\\1" + MASK + (b"@" if p.name == "url-password" else b"")) for p in patterns]

    def redact(self, block: bytes) -> tuple[bytes, int]:
        """Return block with its secrets masked, and how many were."""
        count = 0
        for regex, replacement in self._rules:
            block, found = regex.subn(replacement, block)
            count += found
        return block, count


def _compile(pattern: Pattern) -> "re2._Regexp[bytes]":
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern.regex.encode(), options)
    except re2.error as error:
        raise InvalidPatternError(f"redaction pattern {pattern.name!r} is not valid: {error}") from error
    if compiled.groups < 1:
        raise InvalidPatternError(f"redaction pattern {pattern.name!r} needs a group: what is kept before the mask")
    return compiled


def main() -> None:
    """Filter stdin to stdout."""
    sys.stdout.buffer.write(Redactor().redact(sys.stdin.buffer.read())[0])


if __name__ == "__main__":
    main()
