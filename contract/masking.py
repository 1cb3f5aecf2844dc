"""Which texts are secrets: the one list for log lines, command lines, tails, evidence, callbacks and posted lines.

The list is that of `contract.secrets_by_shape` and `contract.secrets_by_name`. `contract.redaction` applies it with
RE2 to whole blocks of log lines; the functions here apply it with `re` to short texts, so that the keeper, which may
import the standard library only, masks what the others mask.
"""

import functools
import re
from collections.abc import Iterable

from tracetail.contract import secrets_by_name, secrets_by_shape
from tracetail.contract.private_key_lines import PrivateKeyLines
from tracetail.contract.secret_pattern import Pattern

MASK = "***"
DEFAULT_PATTERNS: tuple[Pattern, ...] = (*secrets_by_shape.PATTERNS, *secrets_by_name.PATTERNS)

_SECRET_FLAG = re.compile(rf"(?i)-{{1,2}}(?:[a-z0-9]+[_-])*{secrets_by_name.FLAG_NAME}")


def mask_text(text: str) -> str:
    """Return a short text with its secrets masked, line by line."""
    return "\n".join(mask_lines(text.split("\n")))


def mask_lines(lines: Iterable[str]) -> list[str]:
    """Return successive lines of one log with their secrets masked."""
    texts = list(lines)
    if any("PRIVATE KEY" in text for text in texts):
        data = [text.encode(errors="surrogateescape") for text in texts]
        masked = PrivateKeyLines().mask_all(data, MASK.encode())
        texts = [line.decode(errors="surrogateescape") for line in masked]
    return [_mask_line(text) for text in texts]


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
    lower = line.lower()
    for keywords, rules in _compiled_patterns().items():
        if not keywords or any(keyword in lower for keyword in keywords):
            for regex, kept_behind in rules:
                line = regex.sub(functools.partial(_replace, kept_behind=kept_behind), line)
    return line


def _replace(match: re.Match[str], kept_behind: str) -> str:
    if match.groupdict().get("harmless") is not None:
        return match[0]
    return f"{match[1]}{MASK}{kept_behind}"


@functools.cache
def _compiled_patterns() -> dict[tuple[str, ...], list[tuple[re.Pattern[str], str]]]:
    """Return the compiled patterns in their order, those in a row that have the same keywords together."""
    rules: dict[tuple[str, ...], list[tuple[re.Pattern[str], str]]] = {}
    for pattern in DEFAULT_PATTERNS:
        rule = (re.compile(pattern.regex, re.ASCII), pattern.kept_behind)
        rules.setdefault(pattern.keywords, []).append(rule)
    return rules
