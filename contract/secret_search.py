"""Finds the lines that may contain a secret, and the patterns to try on each: few lines have a keyword.

Literal texts are looked for first, those of all patterns at once: by `needles.Finder` where it is compiled, else by
google-re2, which takes half as long again. An automaton of the patterns themselves has too many states for a text of
many kinds, and RE2 is a hundred times slower without one.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import re2

from tracetail.contract import needles, secret_lines
from tracetail.contract.secret_pattern import Pattern


class InvalidPatternError(ValueError):
    """A redaction pattern is not a regular expression of RE2; the message names it."""


def compile_pattern(name: str, regex: str, *, never_capture: bool = False) -> "re2._Regexp[bytes]":
    """Return a compiled expression. Raises InvalidPatternError, which names it."""
    try:
        return re2.compile(regex.encode(), _options(never_capture=never_capture))
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else error
        raise InvalidPatternError(f"redaction pattern {name!r} is not valid: {reason}") from error


class ExpressionSearch:
    """Searches with expressions of RE2."""

    finder = None
    others = None

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        triggers: dict[str, list[int]] = {}
        for number, pattern in enumerate(patterns):
            triggers.setdefault(_trigger(pattern.keywords) or _expression(pattern), []).append(number)
        self._of_trigger = list(triggers.values())
        self._which = re2.Set.SearchSet(_options())
        for trigger in triggers:
            self._which.Add(trigger.encode())
        self._which.Compile()
        keywords = {keyword for pattern in patterns for keyword in pattern.keywords}
        others = [f"(?:{_expression(pattern)})" for pattern in patterns if not pattern.keywords]
        keywords.update(needle.decode() for needle in secret_lines.NEEDLES)
        together = "|".join(filter(None, (_trigger(keywords), *others)))
        self._any = compile_pattern("all together", together, never_capture=True) if patterns else None

    def lines(self, block: bytes) -> Iterator[tuple[int, int]]:
        """Yield the offset and end of each line of a block that may contain a secret."""
        return lines_with(self._any, block)

    def patterns(self, line: bytes) -> list[int]:
        """Return the numbers of the patterns to try on a line, in their order."""
        if self._any is None or self._any.search(line) is None:
            return []
        # No trigger: memory ran out on a very long line.
        triggers = self._which.Match(line) or range(len(self._of_trigger))
        return sorted(number for trigger in triggers for number in self._of_trigger[trigger])


class NeedleSearch:
    """Searches with the compiled Finder, and with RE2 for patterns of which no literal text is known: the user's."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._all = range(len(patterns))
        users: dict[needles.Needle, set[int]] = {}
        self._without: list[int] = []
        known: dict[Any, list[needles.Needle]] = {}
        for number, pattern in enumerate(patterns):
            found = known.get((pattern.keywords, pattern.trigger))
            if found is None:
                found = known[pattern.keywords, pattern.trigger] = needles.needles_of(pattern)
            for needle in found:
                users.setdefault(needle, set()).add(number)
            if not found:
                self._without.append(number)
        for letter in needles.FOLDED:
            # Of one that has two bytes the first is looked for: few texts have it, and then the letter is.
            users.setdefault(needles.literal(letter if len(letter) > 2 else letter[:1]), set())
        for text in secret_lines.NEEDLES:
            users.setdefault(needles.literal(text), set())
        # Few sets differ, and 1,300 of them take 0.6 MB.
        shared: dict[frozenset[int], frozenset[int]] = {}
        self._users = [shared.setdefault(one, one) for one in map(frozenset, users.values())]
        self.finder = needles.Finder([tuple(needle) for needle in needles.placed(users)], needles.WORD)
        """Finds the literal texts."""
        together = "|".join(f"(?:{patterns[number].regex})" for number in self._without)
        self.others = compile_pattern("all together", together, never_capture=True) if together else None
        """Matches in a line with any other secret; None if there is no such pattern."""

    def lines(self, block: bytes) -> Iterable[tuple[int, int]]:
        """Return the offset and end of each line of a block that may contain a secret."""
        found: list[tuple[int, int]] = self.finder.lines(block)
        return found if self.others is None else sorted({*found, *lines_with(self.others, block)})

    def patterns(self, line: bytes) -> list[int]:
        """Return the numbers of the patterns to try on a line, in their order."""
        if any(letter in line for letter in needles.FOLDED):
            return list(self._all)
        users = self._users
        return sorted({*self._without}.union(*(users[needle] for needle in self.finder.numbers(line))))


def search_for(patterns: Sequence[Pattern]) -> ExpressionSearch | NeedleSearch:
    """Return the fastest search that is installed."""
    return ExpressionSearch(patterns) if needles.Finder is None else NeedleSearch(patterns)


def lines_with(expression: Any, block: bytes) -> Iterator[tuple[int, int]]:
    """Yield the offset and end of each line of a block in which an expression of RE2 matches, or None nowhere."""
    done = -1
    for match in expression.finditer(block) if expression is not None else ():
        at = match.start()
        if at < done:
            continue
        start = max(block.rfind(b"\n", 0, at), done) + 1
        end = block.find(b"\n", at)
        done = len(block) if end < 0 else end
        yield start, done


def _expression(pattern: Pattern) -> str:
    return pattern.trigger.regex if pattern.trigger else pattern.regex


def _trigger(keywords: Iterable[str]) -> str:
    """Return an expression that matches in every line with one of the keywords, or "" if there are none."""
    words = "|".join(map(re.escape, sorted(set(keywords))))
    return f"(?i:{words})" if words else ""


def _options(*, never_capture: bool = False) -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    options.never_capture = never_capture
    return options
