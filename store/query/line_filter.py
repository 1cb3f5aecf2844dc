"""Compiles line filters."""

import functools
import re
from typing import Any

from tracetail.store.disk.text_filter import has_bits, required_bits
from tracetail.store.logql.matching import compile_regex
from tracetail.store.logql.tree import LineFilter

_IGNORE_CASE = "(?i)"
_LITERAL = re.compile(r"(?:[^\\.+*?()|\[\]{}^$]|\\[!-/:-@\[-`{-~])*", re.DOTALL)
"""An expression in which every character stands for itself: signs may be escaped."""
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


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
        self._bits = [] if self.negated else [_required_bits(stage.op, value) for value in stage.values]
        self.is_selective = bool(self._bits) and all(self._bits)
        """Whether there are blocks that may_pass rejects."""

    def may_pass(self, text_filter: bytes) -> bool:
        """Return whether a line of a text with this filter may pass."""
        return not self._bits or any(has_bits(text_filter, bits) for bits in self._bits)

    def __call__(self, line: bytes) -> bool:
        """Return whether the line passes."""
        found = any(needle in line for needle in self.needles) or any(
            regex.search(line) is not None for regex in self.regexes
        )
        return found != self.negated


def passes_all(stage: LineFilter) -> bool:
    """Return whether every line passes the filter."""
    return not stage.op.startswith("!") and "" in stage.values


def is_of_texts(stage: LineFilter) -> bool:
    """Return whether a filter looks for texts only, with or without their case: other expressions may take long."""
    return not stage.op.endswith("~") or all(
        _literal(value.removeprefix(_IGNORE_CASE)) is not None for value in stage.values
    )


@functools.lru_cache(maxsize=256)
def _required_bits(op: str, value: str) -> frozenset[int]:
    """Return the bits that the filter of each text with a passing line has."""
    if not op.endswith("~"):
        return required_bits(value.encode("utf-8", "surrogateescape"), ignore_case=False)
    ignore_case = value.startswith(_IGNORE_CASE)
    literal = _literal(value.removeprefix(_IGNORE_CASE))
    return frozenset() if literal is None else required_bits(literal, ignore_case=ignore_case)


def _literal(pattern: str) -> bytes | None:
    """Return the only text that an expression matches, without regard to case; None if it matches several."""
    text = _ESCAPED.sub(r"\1", pattern) if _LITERAL.fullmatch(pattern) else None
    return None if text is None else text.encode("utf-8", "surrogateescape")
