"""Runs a pipeline over whole blocks: the same result as line by line, without touching most lines.

A text search runs over all lines of a block at once; the labels are worked out once per set of metadata; the text
is not even unpacked if no entry's labels pass or nobody looks at the lines.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from store.block import Labels, StoredBlock
from store.logql import LogQLError, compile_regex
from store.pipeline import LabelSet, LineTest, Pipeline

_ANCHORS_OF_THE_TEXT = re.compile(r"\\[AzCQ]|\(\?[a-zA-Z]*-|\(\?[a-zA-Z]*[sU]")
"""What would mean something else when a line is looked at as part of a larger text."""


class BlockScan:
    """The entries of one block that come out of a pipeline: their positions and labels."""

    __slots__ = ("_labels", "block", "positions")

    def __init__(self, pipeline: Pipeline, stream: Labels, block: StoredBlock, start: int, end: int) -> None:
        """Find the entries of block, which belongs to stream, with start <= time < end."""
        self.block = block
        self.positions: Sequence[int] = ()
        index = block.index
        by_metadata = [pipeline.of_metadata(stream, metadata) for metadata in index.metadata_sets]
        self._labels: dict[int, LabelSet] | list[LabelSet | None] = by_metadata
        low, high = index.between(start, end)
        if low >= high or not any(labels is not None for labels in by_metadata):
            return
        positions: Sequence[int] = range(low, high)
        if pipeline.line_tests:
            positions = self._matching(pipeline.line_tests, low, high)
        if any(labels is None for labels in by_metadata):
            passes = [labels is not None for labels in by_metadata]
            places = index.metadata
            positions = [i for i in positions if passes[places[i]]]
        if pipeline.parses:
            positions = self._parse(pipeline, stream, positions)
        self.positions = positions

    def labels(self, position: int) -> LabelSet:
        """Return the labels of an entry at one of the positions. They must not be changed."""
        labels = self._labels[position if isinstance(self._labels, dict) else self.block.index.metadata[position]]
        assert labels is not None
        return labels

    @property
    def labels_by_metadata(self) -> list[LabelSet | None] | None:
        """The labels by metadata set, or None if each entry has its own."""
        return None if isinstance(self._labels, dict) else self._labels

    def _parse(self, pipeline: Pipeline, stream: Labels, positions: Sequence[int]) -> list[int]:
        parsed = {}
        for i in positions:
            labels = pipeline.of_line(self.labels(i), stream, self.block.line(i))
            if labels is not None:
                parsed[i] = labels
        self._labels = parsed
        return list(parsed)

    def _matching(self, tests: list[LineTest], low: int, high: int) -> list[int]:
        """Return the positions of the lines that pass all tests, in order."""
        driver = next((t for t in tests if not t.negated), tests[0])
        found = self._lines_with(driver, low, high)
        if driver.negated:
            excluded = set(found)
            found = [i for i in range(low, high) if i not in excluded]
        others = [t for t in tests if t is not driver]
        if not others:
            return found
        line = self.block.line
        return [i for i in found if all(test(line(i)) for test in others)]

    def _lines_with(self, test: LineTest, low: int, high: int) -> list[int]:
        """Return the positions of the lines in which one of the test's needles or expressions is found."""
        found: list[list[int]] = [self._lines_with_needle(needle, low, high) for needle in test.needles]
        found += [self._lines_with_regex(pattern, low, high) for pattern in test.patterns]
        return found[0] if len(found) == 1 else sorted(set().union(*found))

    def _lines_with_needle(self, needle: bytes, low: int, high: int) -> list[int]:
        if not needle:
            return list(range(low, high))
        text, starts, lengths, size = self.block.text, self.block.starts, self.block.index.lengths, len(needle)
        found = []
        at, stop = starts[low], starts[high]
        while (at := text.find(needle, at, stop)) >= 0:
            i = bisect_right(starts, at, low, high) - 1
            if at + size <= starts[i] + lengths[i]:
                found.append(i)
                at = starts[i + 1]
            else:
                at += 1
        return found

    def _lines_with_regex(self, pattern: str, low: int, high: int) -> list[int]:
        """Search the text at once with an expression that finds at least the lines wanted, and look at those.

        With `(?m)` whatever matches within a line matches at the same place in the text (`^` and `$` do at line
        ends); what matches in the text only, over a line end say, is sorted out by looking at the line itself.
        """
        regex = compile_regex(pattern)
        in_text = _over_lines(pattern)
        if in_text is None:
            return [i for i in range(low, high) if regex.search(self.block.line(i)) is not None]
        text, starts = self.block.text, self.block.starts
        found = []
        at, stop = starts[low], starts[high - 1] + self.block.index.lengths[high - 1]
        while at <= stop:
            match = in_text.search(text, at, stop)
            if match is None:
                break
            i = min(bisect_right(starts, match.start(), low, high) - 1, high - 1)
            if regex.search(self.block.line(i)) is not None:
                found.append(i)
            at = starts[i + 1]
        return found


def _over_lines(pattern: str) -> Any:
    """Return pattern as an expression to search many lines at once with, None if it cannot be used so."""
    if _ANCHORS_OF_THE_TEXT.search(pattern):
        return None
    try:
        return compile_regex(pattern, prefix="(?m)")
    except LogQLError:
        return None
