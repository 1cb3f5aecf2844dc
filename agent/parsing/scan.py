"""The loops over lines in which the agent spends most of its time: compiled where that was possible, or plain Python.

Why compiled: in plain Python each line costs a dozen calls of find, partition and slices; docs/performance.md has the
figures of both. Building it needs a C compiler when the package is installed; without one the agent works the same.
"""

from tracetail.agent.parsing.scan_plain import look_up, stamped

COMPILED = True
try:
    from tracetail.agent.parsing._scan import look_up, stamped  # type: ignore[no-redef]
except ImportError:
    COMPILED = False

__all__ = ["COMPILED", "look_up", "stamped"]
