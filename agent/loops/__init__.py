"""The loops over lines in which the agent spends most of its time: compiled where that was possible, or plain Python.

Why compiled: in plain Python each line costs a dozen calls of find, partition and slices; docs/performance.md has the
figures of both. Building it needs a C compiler when the package is installed; without one the agent works the same.
"""

from agent.loops.plain import encoded, look_up, stamped

COMPILED = True
try:
    from agent.loops._compiled import encoded, look_up, stamped  # type: ignore[import-not-found,no-redef]
except ImportError:
    COMPILED = False

__all__ = ["COMPILED", "encoded", "look_up", "stamped"]
