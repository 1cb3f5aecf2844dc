"""Which processes hold memory of a GPU, as NVML tells it where there is one: the last proof of a stop.

A process can be gone from the process table while its driver still gives its memory back. NVML is called through its
C interface (https://docs.nvidia.com/deploy/nvml-api), so that the proof needs no further package.
"""

import ctypes
from collections.abc import Collection
from typing import NamedTuple

from tracetail.contract.processes import read_process

LIBRARY = "libnvidia-ml.so.1"
_SUCCESS = 0
_INSUFFICIENT_SIZE = 7
_NOT_AVAILABLE = 2**64 - 1
_ROOM = 16
"""Entries beyond those just counted: another process may come in between."""


class Use(NamedTuple):
    """The memory of one device that one process holds."""

    device: int
    pid: int
    bytes: int | None
    """None if the driver does not tell."""

    def describe(self) -> str:
        """Return `device 0: pid 812 holds 70000 MiB`."""
        much = "memory" if self.bytes is None else f"{self.bytes // 1024**2} MiB"
        return f"device {self.device}: pid {self.pid} holds {much}"


class _ProcessInfo(ctypes.Structure):
    """nvmlProcessInfo_t of NVML 11 and later."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class Devices:
    """The NVIDIA devices of this machine."""

    def __init__(self, nvml: ctypes.CDLL) -> None:
        """Take the library, initialised."""
        self._running = getattr(nvml, "nvmlDeviceGetComputeRunningProcesses_v3", None) or getattr(
            nvml, "nvmlDeviceGetComputeRunningProcesses_v2", None
        )
        count = ctypes.c_uint()
        self._handles: list[ctypes.c_void_p] = []
        if self._running is None or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _SUCCESS:
            return
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) == _SUCCESS:
                self._handles.append(handle)

    @classmethod
    def find(cls) -> "Devices | None":
        """Return the devices, or None where there is no NVML or no driver."""
        try:
            nvml = ctypes.CDLL(LIBRARY)
            return cls(nvml) if nvml.nvmlInit_v2() == _SUCCESS else None
        except (OSError, AttributeError):  # no library, or one without these functions
            return None

    def uses(self) -> list[Use]:
        """Return what is held now. A device that does not answer holds nothing that could be told."""
        return [use for device, handle in enumerate(self._handles) for use in self._uses_of(device, handle)]

    def _uses_of(self, device: int, handle: ctypes.c_void_p) -> list[Use]:
        assert self._running is not None
        count = ctypes.c_uint(0)
        status = self._running(handle, ctypes.byref(count), None)
        while status == _INSUFFICIENT_SIZE:
            count.value += _ROOM
            found = (_ProcessInfo * count.value)()
            status = self._running(handle, ctypes.byref(count), found)
            if status == _SUCCESS:
                return [
                    Use(device, one.pid, None if one.used == _NOT_AVAILABLE else one.used)
                    for one in found[: count.value]
                ]
        return []


def held_by(uses: Collection[Use], launch: Collection[tuple[int, int]]) -> list[Use]:
    """Return what the processes of a launch hold.

    Args:
        uses: what all processes hold.
        launch: pid and start time of every process that was seen to belong to the launch. A pid that is another
            process by now is not one of them.

    """
    start_times = dict(launch)
    found = []
    for use in uses:
        if use.pid in start_times:
            now = read_process(use.pid)
            if now is None or now.start_time == start_times[use.pid]:
                found.append(use)
    return found
