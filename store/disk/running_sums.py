"""Adds up the columns of a block's index, which each search did line by line: compiled, or plain Python."""

from tracetail.store.disk.running_sums_plain import line_starts, running_sums

__all__ = ["COMPILED", "line_starts", "running_sums"]

COMPILED = True
try:
    from tracetail.store.disk._running_sums import line_starts, running_sums  # type: ignore[no-redef]
except ImportError:
    COMPILED = False
