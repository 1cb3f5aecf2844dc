"""Masks secrets in whole blocks of log lines, with google-re2, which takes time linear in the text.

The patterns are those of `contract.masking`, and the user's own. Each sees one line at a time, so lines stay lines.
The keeper does not import this module, because RE2 is large.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from tracetail.contract.masking import DEFAULT_PATTERNS, MASK
from tracetail.contract.private_key_lines import BEGIN
from tracetail.contract.secret_lines import SecretLines, value_behind
from tracetail.contract.secret_pattern import Pattern
from tracetail.contract.secret_search import InvalidPatternError, compile_pattern, search_for

__all__ = ["InvalidPatternError", "Redactor", "with_group"]

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


def with_group(pattern: Pattern) -> Pattern:
    """Return a pattern with a group: one without keeps nothing in front of the mask. Raises InvalidPatternError."""
    groups = compile_pattern(pattern.name, pattern.regex).groups
    return pattern if groups else pattern._replace(regex=f"()(?:{pattern.regex})")


class _Rule:
    """A pattern, compiled when it is needed first: of sixty, most never are."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self.name = pattern.name
        self.kept_behind = len(pattern.kept_behind)
        self.has_keyword = bool(pattern.keywords)
        self._also = tuple(text.encode() for text in pattern.also)

    @cached_property
    def regex(self) -> Any:
        """The compiled expression. Raises InvalidPatternError."""
        regex = compile_pattern(self.name, self._pattern.regex)
        if regex.groups < 1:
            raise InvalidPatternError(
                f"redaction pattern {self.name!r} needs a group: what it keeps in front of the mask"
            )
        return regex

    @cached_property
    def _harmless(self) -> int | None:
        """The number of the group that says that a match is no secret; None if there is none."""
        found: int | None = self.regex.groupindex.get(_HARMLESS)
        return found

    def may_match(self, line: bytes) -> bool:
        """Return False for a line that has none of the texts which stand in every match beside the keyword."""
        for text in self._also:
            if text in line:
                return True
        return not self._also

    def spans(self, line: bytes) -> Iterable[tuple[int, int, int]]:
        """Return (start of the match, start and end of the secret) for each secret in a line."""
        first = self.regex.search(line)
        return () if first is None else self._spans(line, first)  # () costs less than a generator, and is the rule

    def _spans(self, line: bytes, first: Any) -> Iterator[tuple[int, int, int]]:
        harmless = self._harmless
        start, end = first.span()
        others = self.regex.finditer(line, max(end, start + 1)) if end < len(line) else ()
        for match in itertools.chain((first,), others):
            if harmless is None or match.start(harmless) < 0:
                kept_until = match.end(1)
                start = match.start()
                yield start, kept_until if kept_until >= 0 else start, match.end() - self.kept_behind


class Redactor:
    """Masks every match of its patterns, but for what matches an expression of `keep`.

    Only the few lines in which `search` finds a keyword are looked at, by the patterns whose keywords they contain.
    """

    def __init__(self, patterns: Sequence[Pattern] = DEFAULT_PATTERNS, keep: Sequence[str] = ()) -> None:
        """patterns: in the order in which they are applied. keep: RE2 expressions of values that are never masked."""
        self._rules = [_Rule(pattern) for pattern in patterns]
        for rule, pattern in zip(self._rules, patterns, strict=True):
            if not (pattern.keywords or pattern.trigger):
                _ = rule.regex  # the user's own: an error in it is reported now
        self._keep = [compile_pattern("keep", expression) for expression in keep]
        self.search = search_for(patterns)
        """Finds the lines that may contain a secret."""

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
        for rule in self._candidates(whole):
            for start, stop in self._secrets(rule, whole):
                # Every number may be the beginning of a secret that has no word in front of it.
                if stop > len(text) and (rule.has_keyword or len(text) - start >= _BARE_BEGINNING_BYTES):
                    yield start

    def _spans(self, text: bytes) -> list[tuple[int, int]]:
        """Return (start, end) of each secret in a line."""
        return [span for rule in self._candidates(text) for span in self._secrets(rule, text)]

    def kinds(self, line: bytes) -> list[str]:
        """Return the names of the kinds of secrets in a line, in the order in which they are masked."""
        names: list[str] = []
        for rule in self._candidates(line):
            line, found = self._mask(line, [rule])
            names += [rule.name] * found
        return names

    def redact(self, block: bytes, before: SecretLines | None = None) -> tuple[bytes, int]:
        """Return a block of lines with its secrets masked, and their number. The number of lines stays the same."""
        lines = block.split(b"\n")
        count = self.redact_lines(lines, before)
        return b"\n".join(lines), count

    def redact_lines(self, lines: list[bytes], before: SecretLines | None = None) -> int:
        """Mask the secrets in lines in place; return their number. The lines must not contain line ends.

        before: the state of the log that the lines continue, for a secret that began in a line before.
        """
        before = before or SecretLines()
        count = 0
        block = b"\n".join(lines)
        candidates = list(self.search.lines(block))
        begun = before.in_secret or BEGIN in block
        if begun or any(value_behind(block[start:end]) for start, end in candidates):
            for number, line in enumerate(lines):
                lines[number] = before.mask(line, _MASK)
                count += lines[number] is not line
            block = b"\n".join(lines)
            candidates = list(self.search.lines(block))
        number = at = 0
        for start, end in candidates:
            number += block.count(b"\n", at, start)
            lines[number], found = self.redact_line(block[start:end])
            count += found
            at = start
        return count

    def redact_line(self, line: bytes) -> tuple[bytes, int]:
        """Return a line with its secrets masked, and their number."""
        return self._mask(line, self._candidates(line))

    def _candidates(self, line: bytes) -> Iterator[_Rule]:
        """Yield the rules to try on a line, in their order."""
        for number in self.search.patterns(line):
            rule = self._rules[number]
            if rule.may_match(line):
                yield rule

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

    def _secrets(self, rule: _Rule, line: bytes) -> Iterable[tuple[int, int]]:
        spans = rule.spans(line)
        return self._not_kept(line, spans) if spans else ()

    def _not_kept(self, line: bytes, spans: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
        for begin, start, stop in spans:
            if not any(kept.fullmatch(line, at, stop) for kept in self._keep for at in (begin, start)):
                yield start, stop
