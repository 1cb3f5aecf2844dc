"""GPU memory and utilisation of processes, by NVML where nvidia-ml-py and a device are there.

The optional extra `gpu`. Without it, or without a driver, there simply are no such metrics.
"""

import importlib
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple


class GpuUsage(NamedTuple):
    """What some processes use of one device."""

    device: int
    memory_bytes: int
    utilisation_ratio: float | None
    """Share of the time in which a kernel of these processes ran since the last look; None if NVML does not tell."""


class Gpus:
    """The NVIDIA devices of this machine."""

    def __init__(self, nvml: Any) -> None:
        """Take the module pynvml, initialised."""
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        self._last_sample = [0] * len(self._handles)

    @classmethod
    def find(cls) -> "Gpus | None":
        """Return the devices, or None where there is no NVML or no device."""
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
        try:
            nvml.nvmlInit()
            gpus = cls(nvml)
        except nvml.NVMLError:
            return None
        return gpus if gpus._handles else None

    def look(self) -> list[dict[int, tuple[int, float | None]]]:
        """Return for each device: pid -> (bytes of memory, share of utilisation or None)."""
        return [self._look_at(index, handle) for index, handle in enumerate(self._handles)]

    def _look_at(self, index: int, handle: Any) -> dict[int, tuple[int, float | None]]:
        nvml = self._nvml
        try:
            running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
        except nvml.NVMLError:
            return {}
        shares: dict[int, float] = {}
        try:
            # Without a sample since the last look NVML answers "not found": nobody used the device.
            samples = nvml.nvmlDeviceGetProcessUtilization(handle, self._last_sample[index])
        except nvml.NVMLError as error:
            samples = []
            told = getattr(error, "value", None) == nvml.NVML_ERROR_NOT_FOUND
        else:
            told = True
        for sample in samples:
            shares[sample.pid] = sample.smUtil / 100
            self._last_sample[index] = max(self._last_sample[index], sample.timeStamp)
        return {
            process.pid: (process.usedGpuMemory or 0, shares.get(process.pid, 0.0) if told else None)
            for process in running
        }


def usage_of(pids: AbstractSet[int], devices: list[dict[int, tuple[int, float | None]]]) -> list[GpuUsage]:
    """Add up what these processes use of each device that they use."""
    found = []
    for device, processes in enumerate(devices):
        ours = [used for pid, used in processes.items() if pid in pids]
        if ours:
            shares = [share for _, share in ours if share is not None]
            found.append(GpuUsage(device, sum(memory for memory, _ in ours), sum(shares) if shares else None))
    return found
