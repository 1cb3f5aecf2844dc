"""The devices of this machine in a container: options of the runtime for NVIDIA GPUs and Ascend NPUs."""

import os
import shutil
from pathlib import Path

from tracetail.launcher import engines
from tracetail.launcher.params import Params

_ASCEND_SHARED = ("davinci_manager", "devmm_svm", "hisi_hdc")
"""Device files that every container with an NPU needs."""
_ASCEND_MOUNTS = (
    "/usr/local/dcmi",
    "/usr/local/bin/npu-smi",
    "/usr/local/Ascend/driver/lib64",
    "/usr/local/Ascend/driver/version.info",
    "/etc/ascend_install.info",
)
"""The driver, whose libraries must be those of the machine.

Source of both: https://docs.vllm.ai/projects/ascend/en/v0.13.0/quick_start.html
"""
_CDI_DIRECTORIES = ("etc/cdi", "var/run/cdi")
_NVIDIA_HOOKS = ("nvidia-container-runtime-hook", "nvidia-container-toolkit", "nvidia-container-cli")


def uses_ascend(params: Params, root: Path = Path("/")) -> bool:
    """Return whether the container gets the NPUs of the machine."""
    if engines.load(params.engine).devices_variable.startswith("ASCEND") or engines.is_ascend_image(params):
        return True
    return (root / "dev" / "davinci_manager").exists() and not _nvidia(root)


def visible_devices(params: Params) -> str:
    """Return the indices that the variable for visible devices names in the container; "" for no such variable.

    NPUs are all given, with the numbers that they have on the machine. Of GPUs only those of `gpus` are given, else
    `devices`; the container numbers them from 0. So with `gpus`, `devices` are numbers of the container.
    """
    assert params.container is not None
    return ",".join(params.devices) if uses_ascend(params) or params.container.gpus else ""


def options(params: Params, root: Path = Path("/")) -> list[str]:
    """Return the options that give a container its devices. root: of the machine."""
    container = params.container
    assert container is not None
    wanted = container.gpus
    if wanted == "none":
        return []
    if uses_ascend(params, root):
        return _ascend(root)
    if not wanted:
        chosen = ",".join(params.devices)
        wanted = chosen or ("all" if params.engine != "custom" and _nvidia(root) else "")
    if not wanted:
        return []
    if container.runtime == "podman":
        return [word for one in wanted.split(",") for word in ("--device", f"nvidia.com/gpu={one}")]
    # The quotes are for docker, which reads the value as CSV.
    return ["--gpus", "all" if wanted == "all" else f'"device={wanted}"']


def problem(params: Params, root: Path = Path("/")) -> tuple[str, str, str, str] | None:
    """Return why the devices would not be visible in the container: cause and hint in English, then in Chinese."""
    container = params.container
    assert container is not None
    given = options(params, root)
    if not given:
        if uses_ascend(params, root) and container.gpus != "none":
            return (
                "there is no Ascend NPU: /dev/davinci_manager does not exist",
                "install the driver, or set container.gpus to none",
                "没有昇腾 NPU：/dev/davinci_manager 不存在",
                "安装驱动，或将 container.gpus 设为 none",
            )
        return None
    if uses_ascend(params, root) or os.environ.get("DOCKER_HOST", "unix:").partition(":")[0] != "unix":
        return None
    cdi = any(path.name.startswith("nvidia") for d in _CDI_DIRECTORIES for path in (root / d).glob("*.[yj]*"))
    if container.runtime == "podman" and not cdi:
        return (
            "podman cannot give GPUs to a container: there is no CDI description of them in /etc/cdi",
            "install nvidia-container-toolkit, then: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
            "podman 无法把 GPU 提供给容器：/etc/cdi 中没有 CDI 描述",
            "安装 nvidia-container-toolkit，然后执行 nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        )
    if container.runtime == "docker" and not cdi and not any(shutil.which(name) for name in _NVIDIA_HOOKS):
        return (
            "docker cannot give GPUs to a container: nvidia-container-toolkit is not installed",
            "install it (nvidia-ctk runtime configure --runtime=docker, restart docker), or container.gpus: none",
            "docker 无法把 GPU 提供给容器：未安装 nvidia-container-toolkit",
            "安装它（nvidia-ctk runtime configure --runtime=docker，重启 docker），或设 container.gpus: none",
        )
    return None


def _nvidia(root: Path) -> bool:
    return any((root / "dev").glob("nvidia[0-9]*"))


def _ascend(root: Path) -> list[str]:
    if not (root / "dev" / "davinci_manager").exists():
        return []
    devices = sorted((root / "dev").glob("davinci[0-9]*"), key=lambda path: int(path.name.removeprefix("davinci")))
    shared = [root / "dev" / name for name in _ASCEND_SHARED if (root / "dev" / name).exists()]
    words = [word for path in (*devices, *shared) for word in ("--device", f"/{path.relative_to(root)}")]
    for path in _ASCEND_MOUNTS:
        if (root / path.lstrip("/")).exists():
            words += ["--volume", f"{path}:{path}:ro"]
    return words
