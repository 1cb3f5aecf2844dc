"""The accelerators of this machine, NVIDIA's GPUs or Ascend NPUs, and the variable that selects some of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tracetail.contract.nvml import MemoryUse

CUDA = "CUDA_VISIBLE_DEVICES"
ASCEND = "ASCEND_RT_VISIBLE_DEVICES"
ROCM = "HIP_VISIBLE_DEVICES"
DEVICE_FILES = {CUDA: "nvidia", ASCEND: "davinci"}
"""The beginning of the names of their files in /dev; those of ROCm's are numbered otherwise."""
_ROCM_FILE = "kfd"


class Accelerators(Protocol):
    """The devices of one kind."""

    tool: str
    """Shows a person what holds a device."""

    @property
    def count(self) -> int:
        """The number of devices."""

    def memory_uses(self) -> "list[MemoryUse]":
        """Return the memory that processes hold now."""

    def utilization(self, device: int) -> dict[int, float] | None:
        """Return the share of time in which each process used a device, by pid; None if that is not reported."""

    def temperature(self, device: int) -> float | None:
        """Return a device's temperature in degrees Celsius; None if it is not known."""


def find(max_age_seconds: float = 0.0) -> Accelerators | None:
    """Return the devices of this machine; None if there are none. max_age_seconds: for how long an answer serves."""
    from tracetail.contract.npu import Npus  # noqa: PLC0415  (a start needs the variable only)
    from tracetail.contract.nvml import Devices  # noqa: PLC0415

    return Devices.find() or Npus.find(max_age_seconds)


def visible_devices_variable(dev: Path = Path("/dev")) -> str | None:
    """Return the variable by which a process selects devices of this machine; None if it has none."""
    for variable, name in DEVICE_FILES.items():
        if any(dev.glob(f"{name}[0-9]*")):
            return variable
    return ROCM if (dev / _ROCM_FILE).exists() else None
