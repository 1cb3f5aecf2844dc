"""The loops over lines in which the agent spends most of its time: compiled, or plain Python without a C compiler.

In plain Python each line costs a dozen calls of find, partition and slices; docs/performance.md has figures of both.
"""

from tracetail.agent.parsing.scan_plain import look_up, split_stamps

COMPILED = True
try:
    from tracetail.agent.parsing._scan import look_up, split_stamps  # type: ignore[no-redef]
except ImportError:
    COMPILED = False

__all__ = ["COMPILED", "look_up", "split_stamps"]
