"""Masks secrets in whole blocks of log lines, with google-re2, which takes time linear in the text.

The patterns are those of `contract.masking`, and the user's own. Each sees one line at a time, so lines stay lines.
The keeper does not import this module, because RE2 is large.
"""

from collections.abc import Iterator, Sequence

import re2

from tracetail.contract.masking import DEFAULT_PATTERNS, MASK, Pattern

_MASK = MASK.encode()


_PIECE_END_BYTES = 4096
_MAY_FOLLOW = (*(b"A" * count for count in range(1, 17)), b"A" * 64, b"A" * 64 + b"@")
"""Possible continuations of a piece: long enough for every pattern that requires a certain length."""


class InvalidPatternError(ValueError):
    """A redaction pattern is not a regular expression of RE2; the message names it."""


class Redactor:
    """Masks every match of its patterns.

    One scan with all patterns at once (600 MB/s on a common core) finds the lines that contain a secret; only these
    few are then rewritten, by the patterns that match in them.
    """

    def __init__(self, patterns: Sequence[Pattern] = DEFAULT_PATTERNS) -> None:
        self._rules = [(_compile(p.name, p.regex), b"\\1" + _MASK + p.kept_behind.encode()) for p in patterns]
        self._kept_behind = [p.kept_behind.encode() for p in patterns]
        for pattern, (regex, _) in zip(patterns, self._rules, strict=True):
            if regex.groups < 1:
                raise InvalidPatternError(
                    f"redaction pattern {pattern.name!r} needs a group: what it keeps in front of the mask"
                )
        together = "|".join(f"(?:{p.regex})" for p in patterns)
        self._any = _compile("all together", together, never_capture=True) if patterns else None
        self._which = re2.Set.SearchSet(_options())
        for pattern in patterns:
            self._which.Add(pattern.regex.encode())
        self._which.Compile()

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
                found += [
                    (start + skipped, min(stop + skipped, len(whole)))
                    for start, stop in self._spans(end + more)
                    if stop > len(end)
                ]
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

    def _spans(self, text: bytes) -> list[tuple[int, int]]:
        """Return (start, end) of each secret in a line."""
        if self._any is None or self._any.search(text) is None:
            return []
        return [
            (match.end(1) if match.end(1) >= 0 else match.start(), match.end() - len(kept_behind))
            for (regex, _), kept_behind in zip(self._rules, self._kept_behind, strict=True)
            for match in regex.finditer(text)
        ]

    def redact(self, block: bytes) -> tuple[bytes, int]:
        """Return a block of lines with its secrets masked, and their number. The number of lines stays the same."""
        pieces: list[bytes] = []
        count = done = 0
        for start, end in self._lines_with_secrets(block):
            masked, found = self._mask(block[start:end])
            pieces += (block[done:start], masked)
            count += found
            done = end
        return b"".join((*pieces, block[done:])), count

    def redact_lines(self, lines: list[bytes]) -> int:
        """Mask the secrets in lines in place; return their number. The lines must not contain line ends."""
        block = b"\n".join(lines)
        count = number = at = 0
        for start, end in self._lines_with_secrets(block):
            number += block.count(b"\n", at, start)
            masked, found = self._mask(block[start:end])
            of_match = masked.split(b"\n")
            lines[number : number + len(of_match)] = of_match
            count += found
            at = start
        return count

    def _lines_with_secrets(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield (start, end) of the lines of a block that contain a secret."""
        if self._any is None:
            return
        done = -1
        for match in self._any.finditer(block):
            start, end = match.span()
            if end <= done:
                continue
            start = max(block.rfind(b"\n", 0, start), done) + 1
            end = block.find(b"\n", end)
            done = len(block) if end < 0 else end
            yield start, done

    def _mask(self, lines: bytes) -> tuple[bytes, int]:
        masked = []
        count = 0
        for line in lines.split(b"\n"):
            text = line
            # No number: memory ran out on a very long line, or another pattern's match goes on in this one.
            numbers = self._which.Match(line) or range(len(self._rules))
            for number in sorted(numbers):
                regex, replacement = self._rules[number]
                text, found = regex.subn(replacement, text)
                count += found
            masked.append(text)
        return b"\n".join(masked), count


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
