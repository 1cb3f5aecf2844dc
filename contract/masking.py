"""Which texts are secrets: the one list for log lines, command lines, tails, evidence, callbacks and posted lines.

A process that masks with the user's own expressions as well calls `use` first: `tracetail start` with those of its
configuration, which it writes into the plan, and the keeper with those of the plan.

The list is that of `contract.secrets_by_shape` and `contract.secrets_by_name`. `contract.redaction` applies it with
RE2 to whole blocks of log lines; the functions here apply it with `re` to short texts, so that the keeper, which may
import the standard library only, masks what the others mask.
"""

import functools
import re
from collections.abc import Iterable

from tracetail.contract import secrets_by_name, secrets_by_shape
from tracetail.contract.secret_pattern import Pattern, UsersOwn

MASK = "***"
DEFAULT_PATTERNS: tuple[Pattern, ...] = (*secrets_by_shape.PATTERNS, *secrets_by_name.PATTERNS)


_users_own = UsersOwn(extra=[], keep=[])
_extra: list[re.Pattern[str]] = []
_keep: list[re.Pattern[str]] = []


def use(own: UsersOwn) -> None:
    """Mask with the user's own expressions as well, in this process.

    Raises ValueError for one that Python's `re` cannot read: RE2, with which the agent masks, knows a few forms more.
    """
    compiled: dict[str, list[re.Pattern[str]]] = {"extra": [], "keep": []}
    for name, expressions in (("extra", own["extra"]), ("keep", own["keep"])):
        for index, expression in enumerate(expressions):
            try:
                compiled[name].append(re.compile(expression, re.ASCII))
            except re.error as error:
                raise ValueError(
                    f"agent.redaction.{name}[{index}], {expression!r}, cannot be used for what a launch records: "
                    f"{error}; write it so that Python's re reads it, too"
                ) from error
    _users_own.update(own)
    _extra[:], _keep[:] = compiled["extra"], compiled["keep"]


def users_own() -> UsersOwn:
    """Return the user's own expressions that this process masks with."""
    return UsersOwn(extra=list(_users_own["extra"]), keep=list(_users_own["keep"]))


def mask_text(text: str) -> str:
    """Return a short text with its secrets masked, line by line."""
    return "\n".join(mask_lines(text.split("\n")))


def mask_lines(lines: Iterable[str]) -> list[str]:
    """Return successive lines of one log with their secrets masked."""
    texts = list(lines)
    if len(texts) > 1:
        from tracetail.contract.secret_lines import SecretLines  # noqa: PLC0415  (the keeper seldom needs it)

        data = [text.encode(errors="surrogateescape") for text in texts]
        masked = SecretLines().mask_all(data, MASK.encode())
        texts = [line.decode(errors="surrogateescape") for line in masked]
    return [_mask_line(text) for text in texts]


def mask_command_line(words: Iterable[str]) -> list[str]:
    """Return a command line with its secrets masked: all values of a flag for secrets, up to the next flag."""
    masked = []
    in_secret_flag = False
    for word in words:
        flag, equals, _ = word.partition("=")
        if word.startswith("-"):
            in_secret_flag = _secret_flag().fullmatch(flag) is not None
            masked.append(f"{flag}={MASK}" if in_secret_flag and equals else mask_text(word))
        else:
            masked.append(MASK if in_secret_flag else mask_text(word))
    return masked


def _mask_line(line: str) -> str:
    lower = line.lower()
    found = {number for keyword, numbers in _patterns_by_keyword().items() if keyword in lower for number in numbers}
    if _any_trigger().search(line) is not None:
        found.update(number for number, pattern in enumerate(DEFAULT_PATTERNS) if not pattern.keywords)
    for pattern in (DEFAULT_PATTERNS[number] for number in sorted(found)):
        if pattern.also and not any(text in line for text in pattern.also):
            continue
        line = _compiled(pattern.regex).sub(functools.partial(_replace, kept_behind=pattern.kept_behind), line)
    for regex in _extra:
        line = regex.sub(_replace_extra, line)
    return line


def _replace(match: re.Match[str], kept_behind: str) -> str:
    if match.groupdict().get("harmless") is not None:
        return match[0]
    if _is_kept(match, match.end(1), match.end() - len(kept_behind)):
        return match[0]
    return f"{match[1]}{MASK}{kept_behind}"


def _replace_extra(match: re.Match[str]) -> str:
    start = match.end(1) if match.re.groups else match.start()
    if _is_kept(match, start, match.end()):
        return match[0]
    return f"{match.string[match.start() : start]}{MASK}" if start >= 0 else MASK


def _is_kept(match: re.Match[str], start: int, end: int) -> bool:
    """Return whether a secret from start to end, with or without its name, is one that is never masked."""
    return any(kept.fullmatch(match.string, at, end) for kept in _keep for at in (match.start(), max(start, 0)))


@functools.cache
def _patterns_by_keyword() -> dict[str, tuple[int, ...]]:
    """Return the numbers of the patterns that have a keyword, by keyword."""
    together: dict[tuple[str, ...], tuple[int, ...]] = {}
    for number, pattern in enumerate(DEFAULT_PATTERNS):
        together[pattern.keywords] = (*together.get(pattern.keywords, ()), number)
    found: dict[str, tuple[int, ...]] = {}
    for keywords, numbers in together.items():
        for keyword in keywords:
            found[keyword] = found.get(keyword, ()) + numbers
    return found


@functools.cache
def _secret_flag() -> re.Pattern[str]:
    """Return what matches a flag for secrets."""
    return re.compile(rf"(?i)-{{1,2}}(?:[a-z0-9]+[_-])*{secrets_by_name.FLAG_NAME}")


@functools.cache
def _any_trigger() -> re.Pattern[str]:
    """Return what matches in every text in which a pattern without keywords may match."""
    triggers = [one.trigger.regex for one in DEFAULT_PATTERNS if one.trigger and not one.keywords]
    return re.compile("|".join(f"(?:{trigger})" for trigger in triggers), re.ASCII)


@functools.cache
def _compiled(regex: str) -> re.Pattern[str]:
    """Return a compiled pattern; compiled when a text needs it, since all of them take a tenth of a second."""
    return re.compile(regex, re.ASCII)
