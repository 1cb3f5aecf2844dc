"""The loops over lines in which the agent spends most of its time: compiled, or plain Python without a C compiler.

In plain Python each line costs a dozen calls of find, partition and slices; docs/performance.md has figures of both.
What takes whole blocks is there in compiled form only; without it the parser splits them and uses the other loops.
"""

from typing import Any

from tracetail.agent.parsing.scan_plain import look_up, split_stamps
from tracetail.contract.engine_lines import find_request_id

COMPILED = True
add_stamped: Any = None
add_unstamped: Any = None
find: Any = bytes.find
with_needles: Any = None
try:
    from tracetail.agent.parsing._scan import (  # type: ignore[no-redef]
        add_stamped,
        add_unstamped,
        find,
        find_request_id,
        look_up,
        split_stamps,
        with_needles,
    )
except ImportError:
    COMPILED = False

__all__ = [
    "COMPILED",
    "add_stamped",
    "add_unstamped",
    "find",
    "find_request_id",
    "look_up",
    "split_stamps",
    "with_needles",
]
