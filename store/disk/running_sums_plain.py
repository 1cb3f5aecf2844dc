"""Adds up the columns of a block's index, in plain Python."""

from collections.abc import Sequence
from itertools import accumulate, count
from operator import add
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from array import array


def running_sums(differences: "array[int]") -> Sequence[int]:
    """Return for each difference (typecode q) the sum of all up to it."""
    return list(accumulate(differences))


def line_starts(lengths: "array[int]") -> Sequence[int]:
    """Return the offset of each line in lines joined by LF, and the offset at which a further line would start.

    lengths: of the lines in bytes, of typecode I.
    """
    # Before each line are the lines before it, and as many LF.
    return list(map(add, accumulate(lengths, initial=0), count()))
