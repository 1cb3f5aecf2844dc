"""Checks before a server is started: paths, disks, devices, port. Without them it would fail minutes later."""

import os
import re
from pathlib import Path

from tracetail.contract.accelerators import DEVICE_FILES
from tracetail.contract.secret_file import SecretFileError, read_secret
from tracetail.contract.state import make_directory
from tracetail.contract.system_reasons import in_chinese
from tracetail.launcher import registry
from tracetail.launcher.log.retention import free_bytes
from tracetail.launcher.machine.devices import devices_variable
from tracetail.launcher.machine.programs import which
from tracetail.launcher.params import Params
from tracetail.launcher.result import PORT_HELD, PREFLIGHT_FAILED, Refusal

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def check_paths(params: Params) -> None:
    """Raise Refusal if the model, a directory, a file or a program of the parameters cannot be used."""
    if params.model_path and params.container is None:
        _check_model(params.model_path)
        _check_model_files(params, params.model_path)
    elif params.model_path and params.container is not None:
        # What is not on this machine may be in the image, or in a volume.
        from tracetail.launcher.containers import create_command  # noqa: PLC0415  (only for a container)

        here = create_command.host_path(params.container, params.model_path)
        if here is not None and here.exists():
            _check_model_files(params, str(here))
    if params.work_dir and params.container is None and not Path(params.work_dir).is_dir():
        raise Refusal(
            PREFLIGHT_FAILED,
            f"workDir {params.work_dir} is not a directory",
            "create it or change workDir",
            zh=(f"workDir {params.work_dir} 不是目录", "创建它，或修改 workDir"),
        )
    if not params.work_dir:
        try:
            os.getcwd()  # noqa: PTH109
        except OSError as error:  # a job whose workspace is cleared while it runs
            raise Refusal(
                PREFLIGHT_FAILED,
                "the directory that the command was called in is deleted",
                "call it in another one, or set workDir",
                zh=("调用命令时所在的目录已被删除", "换一个目录调用，或设置 workDir"),
            ) from error
    for name, path in (("apiKeyFile", params.api_key_file), ("callbackTokenFile", params.callback_token_file)):
        try:
            if path:
                read_secret(name, path)
        except SecretFileError as error:
            zh = (error.zh, f"修正该文件，或修改 {name}")
            raise Refusal(PREFLIGHT_FAILED, str(error), f"correct the file or change {name}", zh=zh) from error
    if params.container is None:
        program = params.command[0] if params.engine == "custom" else params.python_bin
        _check_program("command" if params.engine == "custom" else "pythonBin", program, params.work_dir)
    if params.pre_start:
        _check_program("preStart", params.pre_start[0], "" if params.container is not None else params.work_dir)


def _check_model(model_path: str) -> None:
    path = Path(model_path).expanduser()
    if path.exists():
        if not os.access(path, os.R_OK):
            zh = (f"modelPath {model_path} 无法读取", "检查它的权限")
            raise Refusal(PREFLIGHT_FAILED, f"modelPath {model_path} cannot be read", "check its permissions", zh=zh)
        return
    if not _HUB_NAME.fullmatch(model_path):
        raise Refusal(
            PREFLIGHT_FAILED,
            f"modelPath {model_path} does not exist",
            "give the directory of the model on this machine, or its name at a hub (org/name)",
            "model_not_found",
            (f"modelPath {model_path} 不存在", "填写本机上的模型目录，或模型在 hub 上的名称（org/name）"),
        )


def _check_model_files(params: Params, model_path: str) -> None:
    """Raise Refusal if the files of the model show that no engine can load it. A preStart may still fetch them."""
    if params.engine == "custom" or params.pre_start:
        return
    from tracetail.launcher.operations import model_files  # noqa: PLC0415  (only where there is a model)

    problem = model_files.find_problem(model_path, params.args)
    if problem is not None:
        text, hint = problem.text, problem.hint
        raise Refusal(PREFLIGHT_FAILED, text.en, hint.en, problem.code, (text.zh, hint.zh))


def _check_program(name: str, program: str, work_dir: str) -> None:
    if "/" in program:
        path = Path(work_dir or ".") / program
        found = path.is_file() and os.access(path, os.X_OK)
    else:
        found = which(program) is not None
    if not found:
        raise Refusal(
            PREFLIGHT_FAILED,
            f"{name}: {program} is not an executable file",
            f"check the path, or change {name}",
            zh=(f"{name}：{program} 不是可执行文件", f"检查路径，或修改 {name}"),
        )


def check_disk(name: str, directory: Path, min_free_bytes: int) -> None:
    """Raise Refusal if a directory cannot be written or less is free. name: of the directory, for the message."""
    try:
        make_directory(directory)
    except OSError as error:
        raise Refusal(
            PREFLIGHT_FAILED,
            f"{name} {directory} cannot be made: {error.strerror}",
            f"change the {name}",
            zh=(f"无法创建 {name} {directory}：{in_chinese(error.strerror)}", f"修改 {name}"),
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Refusal(
            PREFLIGHT_FAILED,
            f"{name} {directory} is not writable",
            f"change its owner, or change the {name}",
            zh=(f"{name} {directory} 不可写", f"修改它的所有者，或修改 {name}"),
        )
    free = free_bytes(directory)
    if free < min_free_bytes:
        raise Refusal(
            PREFLIGHT_FAILED,
            f"only {free // 1024**2} MiB are free in {directory}, {min_free_bytes // 1024**2} are kept free",
            f"free space (tracetail gc), change the {name}, or lower [launcher] min_free_disk_mb",
            zh=(
                f"{directory} 只剩 {free // 1024**2} MiB，需要保留 {min_free_bytes // 1024**2} MiB",
                f"清理空间（tracetail gc），修改 {name}，或调低 [launcher] min_free_disk_mb",
            ),
        )


def check_devices(params: Params, dev: Path = Path("/dev")) -> None:
    """Raise Refusal if a device is given by an index that this machine does not have.

    Reads the device files in dev, which is quick. A container may have the files of devices 4 and 5 only, which are
    its 0 and 1: an index is wrong only if neither count nor name allows it.
    """
    if params.container is not None and params.container.gpus:
        return  # then they are numbers of the container
    name = DEVICE_FILES.get(devices_variable(params.engine, params.python_bin, dev))
    if name is None:
        return
    there = {path.name.removeprefix(name) for path in dev.glob(f"{name}[0-9]*")}
    wrong = [one for one in params.devices if one.isdigit() and int(one) >= len(there) and one not in there]
    if there and wrong:
        raise Refusal(
            PREFLIGHT_FAILED,
            f"there is no device {', '.join(wrong)}: this machine has {len(there)}",
            "devices are numbered from 0: change `devices`",
            zh=(
                f"没有设备 {', '.join(wrong)}：本机有 {len(there)} 个",
                "设备从 0 开始编号：修改 `devices`",
            ),
        )


def check_claims(params: Params, others: list[registry.Launch]) -> None:
    """Raise Refusal if a running launch has claimed the port, or is loading on one of the devices."""
    for other in others:
        name = f"launch {other.record['launchId']} of {other.record['service']}"
        name_zh = f"{other.record['service']} 的启动 {other.record['launchId']}"
        if params.port is not None and other.record.get("port") == params.port:
            raise Refusal(
                PORT_HELD,
                f"port {params.port} is claimed by {name}, which is {other.state}",
                "choose another port",
                zh=(f"端口 {params.port} 已被 {name_zh} 占用（状态 {other.state}）", "换一个端口"),
            )
        shared = sorted(set(params.devices) & set(other.record.get("devices", [])))
        if shared and other.state == "starting":
            raise Refusal(
                PREFLIGHT_FAILED,
                f"device {', '.join(shared)} is in use by {name}, which is still loading",
                "two models that load on one device see each other's memory: wait until it is ready",
                zh=(
                    f"设备 {', '.join(shared)} 正被 {name_zh} 使用，它还在加载",
                    "两个模型在同一设备上加载会互相占用显存：等它就绪后再启动",
                ),
            )


def check_port(params: Params) -> None:
    """Raise Refusal if a process holds the port."""
    if params.port is None:
        return
    from tracetail.launcher.machine import ports  # noqa: PLC0415  (only for a server with a port)

    found = ports.holder(params.port, params.host)
    if found is not None:
        from tracetail.launcher.containers import process_container  # noqa: PLC0415  (only for a port in use)

        stop = f"stop it (kill {found.pid})" if found.pid is not None else "ask its owner to stop it"
        stop_zh = f"停止它（kill {found.pid}）" if found.pid is not None else "请它的所有者停止它"
        held, held_zh = found.describe(), found.describe_zh()
        container = process_container.of_port(params.port, found.pid)
        if container is not None:
            held, held_zh = f"{held}, in {container.describe()}", f"{held_zh}，位于{container.describe_zh()}"
            stop, stop_zh = f"stop it ({container.stop_command()})", f"停止它（{container.stop_command()}）"
        zh = (held_zh, f"{stop_zh}，或换一个端口")
        raise Refusal(PORT_HELD, held, f"{stop}, or choose another port", zh=zh)
