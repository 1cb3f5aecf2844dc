"""NVIDIA's management library: which processes hold memory of a device, and how busy they keep it.

Calls the C interface of libnvidia-ml (https://docs.nvidia.com/deploy/nvml-api) through ctypes. Without the library or
a driver there are no devices.
"""

import ctypes
from collections.abc import Collection
from typing import NamedTuple

LIBRARY = "libnvidia-ml.so.1"
# nvmlReturn_t
_SUCCESS = 0
_NOT_FOUND = 6
_INSUFFICIENT_SIZE = 7
_VALUE_NOT_AVAILABLE = 2**64 - 1
_TEMPERATURE_GPU = 0  # nvmlTemperatureSensors_t
_SPARE_ENTRIES = 16
"""Entries beyond the count just returned: more processes may start in between."""


class MemoryUse(NamedTuple):
    """The memory of one device that one process holds."""

    device: int
    """Index of the device, from 0."""
    pid: int
    bytes: int | None
    """None if the driver does not report it."""


class _ProcessInfo(ctypes.Structure):
    """nvmlProcessInfo_t of NVML 11 and later."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class _UtilizationSample(ctypes.Structure):
    """nvmlProcessUtilizationSample_t."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("timestamp", ctypes.c_ulonglong),  # microseconds since the epoch
        ("sm_percent", ctypes.c_uint),
        ("memory_percent", ctypes.c_uint),
        ("encoder_percent", ctypes.c_uint),
        ("decoder_percent", ctypes.c_uint),
    )


class Devices:
    """The NVIDIA devices of this machine."""

    tool = "nvidia-smi"
    """Shows a person what holds a device."""

    def __init__(self, nvml: ctypes.CDLL) -> None:
        """Take the library, initialised. Raises AttributeError if it lacks a function that is needed."""
        self._running_processes = (
            getattr(nvml, "nvmlDeviceGetComputeRunningProcesses_v3", None)
            or nvml.nvmlDeviceGetComputeRunningProcesses_v2
        )
        self._process_utilization = getattr(nvml, "nvmlDeviceGetProcessUtilization", None)
        self._temperature = getattr(nvml, "nvmlDeviceGetTemperature", None)
        count = ctypes.c_uint()
        self._handles: list[ctypes.c_void_p] = []
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != _SUCCESS:
            return
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) == _SUCCESS:
                self._handles.append(handle)
        self._last_samples = [0] * len(self._handles)

    @classmethod
    def find(cls) -> "Devices | None":
        """Return the devices, or None where there is no library, no driver or no device."""
        try:
            nvml = ctypes.CDLL(LIBRARY)
            devices = cls(nvml) if nvml.nvmlInit_v2() == _SUCCESS else None
        except (OSError, AttributeError):  # no library, or one without these functions
            return None
        return devices if devices is not None and devices.count else None

    @property
    def count(self) -> int:
        """The number of devices."""
        return len(self._handles)

    def memory_uses(self) -> list[MemoryUse]:
        """Return the memory that compute processes hold now. A device that does not answer has none."""
        return [use for device, handle in enumerate(self._handles) for use in self._memory_uses(device, handle)]

    def utilization(self, device: int) -> dict[int, float] | None:
        """Return the share of time (0 to 1) in which kernels of each process ran since the last call, by pid.

        Only processes that ran kernels are in it. None if the driver does not report utilization.
        """
        if self._process_utilization is None:
            return None
        since = ctypes.c_ulonglong(self._last_samples[device])
        count = ctypes.c_uint(0)
        status = self._process_utilization(self._handles[device], None, ctypes.byref(count), since)
        while status == _INSUFFICIENT_SIZE:
            count.value += _SPARE_ENTRIES
            found = (_UtilizationSample * count.value)()
            status = self._process_utilization(self._handles[device], found, ctypes.byref(count), since)
            if status == _SUCCESS:
                samples = found[: count.value]
                self._last_samples[device] = max([since.value, *(sample.timestamp for sample in samples)])
                return {sample.pid: sample.sm_percent / 100 for sample in samples}
        # Without a sample since the last call the answer is "not found": no process used the device.
        return {} if status in (_SUCCESS, _NOT_FOUND) else None

    def temperature(self, device: int) -> float | None:
        """Return a device's temperature in degrees Celsius; None if the driver does not report it."""
        found = ctypes.c_uint()
        if self._temperature is None:
            return None
        status = self._temperature(self._handles[device], _TEMPERATURE_GPU, ctypes.byref(found))
        return float(found.value) if status == _SUCCESS else None

    def _memory_uses(self, device: int, handle: ctypes.c_void_p) -> Collection[MemoryUse]:
        count = ctypes.c_uint(0)
        status = self._running_processes(handle, ctypes.byref(count), None)
        while status == _INSUFFICIENT_SIZE:
            count.value += _SPARE_ENTRIES
            found = (_ProcessInfo * count.value)()
            status = self._running_processes(handle, ctypes.byref(count), found)
            if status == _SUCCESS:
                return [
                    MemoryUse(device, one.pid, None if one.used == _VALUE_NOT_AVAILABLE else one.used)
                    for one in found[: count.value]
                ]
        return []
