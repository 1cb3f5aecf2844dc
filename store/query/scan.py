"""Runs a pipeline over whole blocks. The result is the same as entry by entry, but most lines are not touched.

Text is searched in all lines of a block at once. Labels are computed once for each distinct metadata. The text is
not decompressed if no entry passes the label stages, or if no stage needs the lines.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Literal

from tracetail.store.disk.block import Column, Labels, taken
from tracetail.store.disk.reader import BlockRef, NotSmallError, Snapshot
from tracetail.store.logql.matching import compile_regex
from tracetail.store.logql.tree import LogQLError
from tracetail.store.query.labels import LabelSet, result_labels
from tracetail.store.query.line_filter import LineTest
from tracetail.store.query.pipeline import Pipeline

_LINE_DEPENDENT = re.compile(r"\\[AzCQ]|\(\?[a-zA-Z]*-|\(\?[a-zA-Z]*[sU]")
"""Syntax that has a different meaning if a line is part of a larger text."""


Key = tuple[int, ...]
"""The value indices of an entry in some metadata columns of its block: equal keys mean equal labels."""


class BlockScan:
    """The positions and labels of the entries of one block that pass a pipeline."""

    __slots__ = ("_by_key", "_matches_max", "_parsed", "_pipeline", "_stream", "block", "positions")

    def __init__(
        self, snapshot: Snapshot, pipeline: Pipeline, stream: Labels, ref: BlockRef, start: int, end: int
    ) -> None:
        """Scan the entries of a block of this stream with start <= time < end."""
        self.block = snapshot.open(ref)
        self.positions: Sequence[int] = ()
        self._matches_max = snapshot.matches_max
        self._pipeline = pipeline
        self._stream = stream
        self._parsed: dict[int, LabelSet] | None = None
        self._by_key: dict[Key, LabelSet | None] = {}
        if not all(self._is_in_text(test) for test in pipeline.line_tests):
            return
        low, high = self.block.index.between(start, end)
        if low >= high:
            return
        passing = self._passing(low, high)
        if not passing:
            return
        positions: Sequence[int] = range(low, high)
        if pipeline.line_tests:
            positions = self._matching(pipeline.line_tests, low, high)
        if passing is not True:
            positions = [i for i in positions if i in passing]
        if pipeline.parses:
            positions = self._parse(positions)
        self.positions = positions

    def labels_by(
        self, names: Sequence[str] | None, positions: Sequence[int]
    ) -> tuple[list[Key], dict[Key, LabelSet]]:
        """Return a key for each of the entries at these positions, and the labels for each key.

        names: the labels that are needed, None for all; other labels may be missing.
        """
        columns = self.block.index.columns
        if self._parsed is not None:
            return [(i,) for i in positions], {(i,): labels for i, labels in self._parsed.items()}
        if names is not None:
            wanted = {*names, *self._pipeline.names}
            columns = {name: column for name, column in columns.items() if name in wanted}
        keys = _keys(list(columns.values()), positions)
        self._by_key = {}
        found = {key: self._labels_of(key, list(columns.items())) for key in set(keys)}
        return keys, {key: labels for key, labels in found.items() if labels is not None}

    def result_labels_by(self, positions: Sequence[int]) -> tuple[list[Key], dict[Key, Labels]]:
        """Return a key for each of the entries at these positions, and the labels of a result for each key."""
        columns = self.block.index.columns
        if self._pipeline.keeps_labels and columns and columns.keys().isdisjoint(dict(self._stream)):
            keys = _keys(list(columns.values()), positions)
            return keys, _unchanged_labels(self._stream, columns, list(set(keys)))
        keys, labels = self.labels_by(None, positions)
        return keys, {key: result_labels(labels[key]) for key in set(keys)}

    def _labels_of(self, key: Key, columns: list[tuple[str, Column]]) -> LabelSet | None:
        if key not in self._by_key:
            metadata = [(name, column.values[n - 1]) for n, (name, column) in zip(key, columns, strict=True) if n]
            self._by_key[key] = self._pipeline.of_metadata(self._stream, metadata)
        return self._by_key[key]

    def _passing(self, low: int, high: int) -> "Literal[True] | set[int]":
        """Return the positions that pass the stages before the first parser; True for all of them."""
        columns = [(name, c) for name, c in self.block.index.columns.items() if name in self._pipeline.names]
        if not columns:
            return True if self._labels_of((), columns) is not None else set()
        keys = _keys([column for _, column in columns], range(low, high))
        passes = {key for key in set(keys) if self._labels_of(key, columns) is not None}
        self._by_key = {}
        if not passes:
            return set()
        if len(passes) == len(set(keys)):
            return True
        return {i for i, key in enumerate(keys, low) if key in passes}

    def _parse(self, positions: Sequence[int]) -> list[int]:
        parsed = {}
        keys, labels = self.labels_by(None, positions)
        for i, key in zip(positions, keys, strict=True):
            found = self._pipeline.of_line(labels[key], self._stream, self.block.line(i))
            if found is not None:
                parsed[i] = found
        self._parsed = parsed
        return list(parsed)

    def _is_in_text(self, test: LineTest) -> bool:
        """Return whether the block's text may have a line that passes. It is answered without the index."""
        if test.negated:
            return True
        for pattern in test.patterns:
            in_text = _multiline(pattern)
            if in_text is None or in_text.search(self.block.text) is not None:
                return True
        return any(self.block.has_text(needle) for needle in test.needles)

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
        """Return the positions of the lines that contain one of the test's texts or match one of its expressions."""
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
                self._check_matches(len(found))
                at = starts[i + 1]
            else:
                at += 1
        return found

    def _check_matches(self, number: int) -> None:
        if number > self._matches_max:
            raise NotSmallError

    def _lines_with_regex(self, pattern: str, low: int, high: int) -> list[int]:
        """Search the whole text with an expression that finds at least the matching lines, and verify each.

        With `(?m)` every match within a line is also a match at the same place in the text (`^` and `$` match at
        line ends). A match in the text only, such as one across a line end, is rejected by testing the line itself.
        """
        regex = compile_regex(pattern)
        in_text = _multiline(pattern)
        if in_text is None:
            self._check_matches(high - low)
            return [i for i in range(low, high) if regex.search(self.block.line(i)) is not None]
        text, starts = self.block.text, self.block.starts
        found, tried = [], 0
        at, stop = starts[low], starts[high - 1] + self.block.index.lengths[high - 1]
        while at <= stop:
            match = in_text.search(text, at, stop)
            if match is None:
                break
            i = min(bisect_right(starts, match.start(), low, high) - 1, high - 1)
            if regex.search(self.block.line(i)) is not None:
                found.append(i)
            tried += 1
            self._check_matches(tried)
            at = starts[i + 1]
        return found


def is_excluded(snapshot: Snapshot, ref: BlockRef, pipeline: Pipeline) -> bool:
    """Return whether it is known without reading a block that none of its entries passes."""
    if not pipeline.is_selective:
        return False
    text_filter = snapshot.text_filter(ref)
    return text_filter is not None and not pipeline.may_pass(text_filter)


def _keys(columns: Sequence[Column], positions: Sequence[int]) -> list[Key]:
    """Return the key of the entry at each position: its value indices in these columns."""
    parts = [taken(column.indices, positions) for column in columns]
    return list(zip(*parts, strict=True)) if parts else [()] * len(positions)


def _unchanged_labels(stream: Labels, columns: Mapping[str, Column], keys: Sequence[Key]) -> dict[Key, Labels]:
    """Return the labels of a result for each key: those of the stream and the metadata, which no stage changes.

    columns: at least one. None has the name of a label of the stream.
    """
    pairs: dict[str, Iterable[tuple[str, str] | None]] = {
        name: repeat((name, value) if value else None) for name, value in stream
    }
    for (name, column), numbers in zip(columns.items(), zip(*keys, strict=True), strict=True):
        known = [None, *((name, value) if value else None for value in column.values)]
        pairs[name] = map(known.__getitem__, numbers)
    # The names are sorted once, not for each key: all have the same, but for those that an entry has no value of.
    rows = zip(*(pairs[name] for name in sorted(pairs)), strict=False)
    return {key: row if all(row) else tuple(filter(None, row)) for key, row in zip(keys, rows, strict=False)}


def _multiline(pattern: str) -> Any:
    """Return the expression to search many lines at once; None if the pattern does not allow it."""
    if _LINE_DEPENDENT.search(pattern):
        return None
    try:
        return compile_regex(pattern, prefix="(?m)")
    except LogQLError:
        return None
