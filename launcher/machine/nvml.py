"""The device memory that the processes of a launch hold: the last proof of a stop.

A process can have left the process table while its driver still frees its memory.
"""

from collections.abc import Collection

from tracetail.contract.nvml import MemoryUse
from tracetail.contract.processes import read_process


def held_by(uses: Collection[MemoryUse], launch: Collection[tuple[int, int]]) -> list[MemoryUse]:
    """Return what the processes of a launch hold.

    Args:
        uses: what all processes hold.
        launch: pid and start time of every process that was seen to belong to the launch. A pid that has become
            another process is not one of them.

    """
    start_times = dict(launch)
    found = []
    for use in uses:
        if use.pid in start_times:
            now = read_process(use.pid)
            if now is None or now.start_time == start_times[use.pid]:
                found.append(use)
    return found


def describe(use: MemoryUse) -> str:
    """Return `device 0: pid 812 holds 70000 MiB`."""
    amount = "memory" if use.bytes is None else f"{use.bytes // 1024**2} MiB"
    return f"device {use.device}: pid {use.pid} holds {amount}"
