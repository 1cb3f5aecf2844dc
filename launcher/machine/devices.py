"""The variable by which a launch selects its devices: CUDA's, Ascend's or ROCm's."""

from pathlib import Path

from tracetail.contract.accelerators import ASCEND, CUDA, visible_devices_variable
from tracetail.launcher import engines
from tracetail.launcher.machine.programs import which


def devices_variable(engine: str, python_bin: str, dev: Path = Path("/dev")) -> str:
    """Return the variable for `devices`.

    Args:
        engine: the engine's name. MindIE runs on NPUs only.
        python_bin: the engine's Python; one with vllm-ascend installed runs on NPUs.
        dev: where the files of the machine's devices are.

    """
    own = engines.load(engine).devices_variable
    if own != CUDA:
        return own
    if _has_vllm_ascend(python_bin):
        return ASCEND
    return visible_devices_variable(dev) or CUDA


def _has_vllm_ascend(python_bin: str) -> bool:
    found = which(python_bin) if python_bin else None
    if found is None:
        return False
    return any(Path(found).parent.parent.glob("lib/python3*/site-packages/vllm_ascend-*.dist-info"))
