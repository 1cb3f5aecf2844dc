"""Compiles line filters."""

from typing import Any

from tracetail.store.logql.matching import compile_regex
from tracetail.store.logql.tree import LineFilter


class LineTest:
    """A line filter, compiled."""

    def __init__(self, stage: LineFilter) -> None:
        self.negated = stage.op.startswith("!")
        self.needles: list[bytes] = []
        self.regexes: list[Any] = []
        self.patterns: list[str] = []
        for value in stage.values:
            if stage.op.endswith("~"):
                self.patterns.append(value)
                self.regexes.append(compile_regex(value))
            else:
                self.needles.append(value.encode("utf-8", "surrogateescape"))

    def __call__(self, line: bytes) -> bool:
        """Return whether the line passes."""
        found = any(needle in line for needle in self.needles) or any(
            regex.search(line) is not None for regex in self.regexes
        )
        return found != self.negated


def passes_all(stage: LineFilter) -> bool:
    """Return whether every line passes the filter."""
    return not stage.op.startswith("!") and "" in stage.values
