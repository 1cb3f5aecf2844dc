"""GPU memory and utilisation of processes. Without NVML or a device there are no such metrics."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from tracetail.contract.nvml import Devices


class ProcessUse(NamedTuple):
    """What one process uses of one device."""

    memory_bytes: int
    """0 if the driver does not report it."""
    utilisation_ratio: float | None
    """Share of the time in which its kernels ran since the last sample; None if the driver does not report it."""


class GpuUsage(NamedTuple):
    """What some processes use of one device together."""

    device: int
    memory_bytes: int
    utilisation_ratio: float | None


def sample(devices: Devices) -> list[dict[int, ProcessUse]]:
    """Return for each device what each process that holds memory of it uses, by pid."""
    shares = [devices.utilization(device) for device in range(devices.count)]
    uses: list[dict[int, ProcessUse]] = [{} for _ in shares]
    for use in devices.memory_uses():
        reported = shares[use.device]
        share = None if reported is None else reported.get(use.pid, 0.0)
        uses[use.device][use.pid] = ProcessUse(use.bytes or 0, share)
    return uses


def usage_of(pids: AbstractSet[int], devices: Sequence[Mapping[int, ProcessUse]]) -> list[GpuUsage]:
    """Return what these processes use of each device of which they hold memory. devices: from sample()."""
    found = []
    for device, uses in enumerate(devices):
        ours = [use for pid, use in uses.items() if pid in pids]
        if ours:
            shares = [use.utilisation_ratio for use in ours if use.utilisation_ratio is not None]
            found.append(GpuUsage(device, sum(use.memory_bytes for use in ours), sum(shares) if shares else None))
    return found
