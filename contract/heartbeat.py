"""The heartbeat of an agent: a line that lists the launches it follows, in a stream of its own for each machine.

By it a reader far away sees whether the machine of a launch that has not ended still exists. The stream's labels are
`service_name="tracetail-agent"` and `host`; it has no traceId and no launchId, so that no query for a launch's log
finds it. A line is `heartbeat seconds=30 launches=20261122T211210-a1b2c3,…`: the interval in seconds, by which a
reader knows when the next one is overdue, and at most LAUNCHES_PER_LINE launchIds. Other programs that ship logs send
none: of a launch without any heartbeat nothing is known.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SERVICE = "tracetail-agent"
"""The stream's service_name."""
INTERVAL_SECONDS = 30.0
"""10,000 machines then push 333 lines a second, a hundred bytes each."""
INTERVAL_MAX_SECONDS = 120.0
OVERDUE_INTERVALS = 4.0
"""After so many intervals without a heartbeat a machine counts as lost: a restart of its agent is shorter."""
LAUNCHES_PER_LINE = 200
_LINE = re.compile(r"heartbeat seconds=([0-9]+(?:\.[0-9]+)?) launches=([0-9A-Za-z,-]+)")


class Heartbeat(NamedTuple):
    """One line of a heartbeat."""

    seconds: float
    """The interval of the agent that sent it."""
    launch_ids: tuple[str, ...]

    @property
    def overdue_seconds(self) -> float:
        """How long after it the launches count as lost, unless another one follows."""
        return OVERDUE_INTERVALS * self.seconds


def heartbeat_lines(launch_ids: Iterable[str], seconds: float) -> Iterator[str]:
    """Yield the lines of a heartbeat for these launches, none without a launch."""
    every = list(launch_ids)
    for first in range(0, len(every), LAUNCHES_PER_LINE):
        yield f"heartbeat seconds={seconds:g} launches={','.join(every[first : first + LAUNCHES_PER_LINE])}"


def parse_heartbeat(line: str) -> Heartbeat | None:
    """Return what a line says; None if it is no heartbeat."""
    match = _LINE.fullmatch(line)
    return Heartbeat(float(match[1]), tuple(match[2].split(","))) if match else None
