"""Memory and utilisation of GPUs and NPUs by process. Without NVML, npu-smi or a device there are no such metrics."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from tracetail.contract.accelerators import Accelerators


class ProcessUse(NamedTuple):
    """What one process uses of one device."""

    memory_bytes: int
    """0 if the driver does not report it."""
    utilisation_ratio: float | None
    """Share of the time in which its kernels ran since the last sample; None if the driver does not report it."""
    temperature: float | None = None
    """Of the device, in degrees Celsius; None if the driver does not report it."""


class GpuUsage(NamedTuple):
    """What some processes use of one device together."""

    device: int
    memory_bytes: int
    utilisation_ratio: float | None
    temperature: float | None = None


def sample(devices: Accelerators) -> list[dict[int, ProcessUse]]:
    """Return for each device what each process that holds memory of it uses, by pid."""
    shares = [devices.utilization(device) for device in range(devices.count)]
    temperatures = [devices.temperature(device) for device in range(len(shares))]
    uses: list[dict[int, ProcessUse]] = [{} for _ in shares]
    for use in devices.memory_uses():
        if use.device >= len(shares):  # a later answer may list more devices
            continue
        reported = shares[use.device]
        share = None if reported is None else reported.get(use.pid, 0.0)
        uses[use.device][use.pid] = ProcessUse(use.bytes or 0, share, temperatures[use.device])
    return uses


def usage_of(pids: AbstractSet[int], devices: Sequence[Mapping[int, ProcessUse]]) -> list[GpuUsage]:
    """Return what these processes use of each device of which they hold memory. devices: from sample()."""
    found = []
    for device, uses in enumerate(devices):
        ours = [use for pid, use in uses.items() if pid in pids]
        if ours:
            shares = [use.utilisation_ratio for use in ours if use.utilisation_ratio is not None]
            memory = sum(use.memory_bytes for use in ours)
            found.append(GpuUsage(device, memory, sum(shares) if shares else None, ours[0].temperature))
    return found
