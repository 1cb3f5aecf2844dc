"""Masks secrets in whole blocks of log lines, with google-re2, which takes time linear in the text.

The patterns are those of `contract.masking`, and the user's own. Each sees one line at a time, so lines stay lines.
The keeper does not import this module, because RE2 is large.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

import re2

from tracetail.contract.masking import DEFAULT_PATTERNS, MASK
from tracetail.contract.private_key_lines import PrivateKeyLines
from tracetail.contract.secret_pattern import Pattern

_MASK = MASK.encode()
_HARMLESS = b"harmless"

_PIECE_END_BYTES = 4096
_BARE_BEGINNING_BYTES = 16
"""How much of a secret without a keyword has to stand at the end of a piece to be taken for its beginning."""
_ZEROS = b"0" * 128
_MAY_FOLLOW = (
    *(_ZEROS[:count] + more for count in range(1, 33) for more in (b"", b"." + _ZEROS)),
    _ZEROS,
    _ZEROS + b"@",
)
"""Possible continuations of a piece: long enough for each pattern that requires a length, and in each alphabet."""


class InvalidPatternError(ValueError):
    """A redaction pattern is not a regular expression of RE2; the message names it."""


def with_group(pattern: Pattern) -> Pattern:
    """Return a pattern with a group: one without keeps nothing in front of the mask. Raises InvalidPatternError."""
    groups = _compile(pattern.name, pattern.regex).groups
    return pattern if groups else pattern._replace(regex=f"()(?:{pattern.regex})")


class _Rule:
    """A compiled pattern."""

    def __init__(self, pattern: Pattern) -> None:
        self.regex = _compile(pattern.name, pattern.regex)
        if self.regex.groups < 1:
            raise InvalidPatternError(
                f"redaction pattern {pattern.name!r} needs a group: what it keeps in front of the mask"
            )
        self.name = pattern.name
        self.kept_behind = len(pattern.kept_behind)
        self.has_keyword = bool(pattern.keywords)
        self.harmless = self.regex.groupindex.get(_HARMLESS)

    def spans(self, line: bytes) -> Iterator[tuple[int, int, int]]:
        """Yield (start of the match, start and end of the secret) for each secret in a line."""
        for match in self.regex.finditer(line):
            if self.harmless is None or match.start(self.harmless) < 0:
                kept_until = match.end(1)
                start = match.start()
                yield start, kept_until if kept_until >= 0 else start, match.end() - self.kept_behind


class Redactor:
    """Masks every match of its patterns, but for what matches an expression of `keep`.

    One scan for the keywords of all patterns at once (400 MB/s on a common core) finds the lines that may contain a
    secret; only these few are then looked at, by the patterns whose keywords they contain. The scan knows literal
    texts only: an automaton of the patterns themselves has too many states for a text of many kinds, and RE2 is a
    hundred times slower without one.
    """

    def __init__(self, patterns: Sequence[Pattern] = DEFAULT_PATTERNS, keep: Sequence[str] = ()) -> None:
        """patterns: in the order in which they are applied. keep: RE2 expressions of values that are never masked."""
        self._rules = [_Rule(pattern) for pattern in patterns]
        self._keep = [_compile("keep", expression) for expression in keep]
        triggers: dict[str, list[int]] = {}
        for number, pattern in enumerate(patterns):
            triggers.setdefault(_trigger(pattern.keywords) or pattern.trigger or pattern.regex, []).append(number)
        self._rules_of_trigger = list(triggers.values())
        self._which = re2.Set.SearchSet(_options())
        for trigger in triggers:
            self._which.Add(trigger.encode())
        self._which.Compile()
        keywords = {keyword for pattern in patterns for keyword in pattern.keywords}
        others = [f"(?:{pattern.trigger or pattern.regex})" for pattern in patterns if not pattern.keywords]
        together = "|".join(filter(None, (_trigger(keywords), *others)))
        self._any = _compile("all together", together, never_capture=True) if patterns else None

    def redact_piece(self, before: bytes, piece: bytes, *, goes_on: bool) -> tuple[bytes, int]:
        """Return a piece of a line with its secrets masked, and the number of secrets that begin in it.

        A secret that begins in `before` (the text in front of the piece, or the end of it) is masked up to its end.
        If the line goes on, what may become a secret with the next piece is masked too.
        """
        whole = before + piece
        found = self._spans(whole)
        if goes_on:
            skipped = max(0, len(whole) - _PIECE_END_BYTES)
            end = whole[skipped:]
            for more in _MAY_FOLLOW:
                found += [(start + skipped, len(whole)) for start in self._begun(end, more)]
        masked: list[bytes] = []
        count = 0
        at = len(before)
        for start, stop in sorted(found):
            begin = max(start, len(before))
            if stop <= begin:
                continue
            if begin >= at:
                masked += (whole[at:begin], _MASK)
                count += start >= len(before)
            at = max(at, stop)
        masked.append(whole[at:])
        return b"".join(masked), count

    def _begun(self, text: bytes, more: bytes) -> Iterator[int]:
        """Yield where in a text a secret begins that would end in `more`."""
        whole = text + more
        if self._any is None or self._any.search(whole) is None:
            return
        for rule in self._candidates(whole):
            for start, stop in self._secrets(rule, whole):
                # Every number may be the beginning of a secret that has no word in front of it.
                if stop > len(text) and (rule.has_keyword or len(text) - start >= _BARE_BEGINNING_BYTES):
                    yield start

    def _spans(self, text: bytes) -> list[tuple[int, int]]:
        """Return (start, end) of each secret in a line."""
        if self._any is None or self._any.search(text) is None:
            return []
        return [span for rule in self._candidates(text) for span in self._secrets(rule, text)]

    def kinds(self, line: bytes) -> list[str]:
        """Return the names of the kinds of secrets in a line, in the order in which they are masked."""
        names: list[str] = []
        if self._any is None or self._any.search(line) is None:
            return names
        for rule in self._candidates(line):
            line, found = self._mask(line, [rule])
            names += [rule.name] * found
        return names

    def redact(self, block: bytes, key: PrivateKeyLines | None = None) -> tuple[bytes, int]:
        """Return a block of lines with its secrets masked, and their number. The number of lines stays the same."""
        lines = block.split(b"\n")
        count = self.redact_lines(lines, key)
        return b"\n".join(lines), count

    def redact_lines(self, lines: list[bytes], key: PrivateKeyLines | None = None) -> int:
        """Mask the secrets in lines in place; return their number. The lines must not contain line ends.

        key: the state of the log that the lines continue, for a private key that began in a line before.
        """
        block = b"\n".join(lines)
        key = key or PrivateKeyLines()
        count = 0
        if key.concerns(block):
            for number, line in enumerate(lines):
                lines[number] = key.mask(line, _MASK)
                count += lines[number] is not line
            block = b"\n".join(lines)
        number = at = 0
        for start, end in self._lines_to_try(block):
            number += block.count(b"\n", at, start)
            line = block[start:end]
            lines[number], found = self._mask(line, self._candidates(line))
            count += found
            at = start
        return count

    def _lines_to_try(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of the lines of a block that may contain a secret."""
        if self._any is None:
            return
        done = -1
        for match in self._any.finditer(block):
            at = match.start()
            if at < done:
                continue
            start = max(block.rfind(b"\n", 0, at), done) + 1
            end = block.find(b"\n", at)
            done = len(block) if end < 0 else end
            yield start, done

    def _candidates(self, line: bytes) -> Iterator[_Rule]:
        """Yield the rules to try on a line, in their order."""
        # No trigger: memory ran out on a very long line.
        triggers = self._which.Match(line) or range(len(self._rules_of_trigger))
        for number in sorted(number for trigger in triggers for number in self._rules_of_trigger[trigger]):
            yield self._rules[number]

    def _mask(self, line: bytes, rules: Iterable[_Rule]) -> tuple[bytes, int]:
        count = 0
        for rule in rules:
            masked: list[bytes] = []
            at = 0
            for start, stop in self._secrets(rule, line):
                masked += (line[at:start], _MASK)
                at = stop
                count += 1
            if masked:
                line = b"".join((*masked, line[at:]))
        return line, count

    def _secrets(self, rule: _Rule, line: bytes) -> Iterator[tuple[int, int]]:
        for begin, start, stop in rule.spans(line):
            if not any(kept.fullmatch(line, at, stop) for kept in self._keep for at in (begin, start)):
                yield start, stop


def _trigger(keywords: Iterable[str]) -> str:
    """Return an expression that matches in every line with one of the keywords, or "" if there are none."""
    words = "|".join(map(re.escape, sorted(set(keywords))))
    return f"(?i:{words})" if words else ""


def _options(*, never_capture: bool = False) -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    options.never_capture = never_capture
    return options


def _compile(name: str, regex: str, *, never_capture: bool = False) -> "re2._Regexp[bytes]":
    try:
        return re2.compile(regex.encode(), _options(never_capture=never_capture))
    except re2.error as error:
        raise InvalidPatternError(f"redaction pattern {name!r} is not valid: {error}") from error
