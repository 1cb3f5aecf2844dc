"""Labels of the entries of a block that are known by their counts only: the block itself is not read."""

from collections.abc import Sequence

from tracetail.store.disk.block import Labels
from tracetail.store.disk.counts import BlockCounts
from tracetail.store.query.labels import LabelSet
from tracetail.store.query.pipeline import Pipeline


def labels_of_combinations(
    counts: BlockCounts, stream: Labels, pipeline: Pipeline, names: Sequence[str] | None
) -> dict[int, LabelSet] | None:
    """Return the labels of each combination of values that passes a pipeline, which must not need lines.

    names: the labels that are needed, None for all; other labels may be missing. The result is None if the entries
    are not counted by one of them.
    """
    needed = None if names is None else {*names, *pipeline.names}
    if counts.other_names if needed is None else not needed.isdisjoint(counts.other_names):
        return None
    columns = [column if needed is None or column[0] in needed else None for column in counts.columns]
    found = {}
    for number, combination in enumerate(counts.combinations):
        metadata = [
            (column[0], column[1][n - 1]) for n, column in zip(combination, columns, strict=True) if n and column
        ]
        labels = pipeline.of_metadata(stream, metadata)
        if labels is not None:
            found[number] = labels
    return found
