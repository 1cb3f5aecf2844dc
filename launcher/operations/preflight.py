"""Checks before a server is started: paths, disks, devices, port. Without them it would fail minutes later."""

import os
import re
import shutil
from pathlib import Path

from tracetail.contract.secret_file import SecretFileError, read_secret
from tracetail.contract.state import DIRECTORY_MODE
from tracetail.launcher import engines, registry
from tracetail.launcher.log.retention import free_bytes
from tracetail.launcher.machine import ports
from tracetail.launcher.operations import model_files
from tracetail.launcher.params import Params
from tracetail.launcher.result import PORT_HELD, PREFLIGHT_FAILED, Refusal

_DEVICE_FILES = {"CUDA_VISIBLE_DEVICES": "nvidia", "ASCEND_RT_VISIBLE_DEVICES": "davinci"}
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def check_paths(params: Params) -> None:
    """Raise Refusal if the model, a directory, a file or a program of the parameters cannot be used."""
    if params.model_path:
        _check_model(params.model_path)
        _check_model_files(params)
    if params.work_dir and not Path(params.work_dir).is_dir():
        raise Refusal(
            PREFLIGHT_FAILED, f"workDir {params.work_dir} is not a directory", "create it or change workDir"
        )
    for name, path in (("apiKeyFile", params.api_key_file), ("callbackTokenFile", params.callback_token_file)):
        try:
            if path:
                read_secret(name, path)
        except SecretFileError as error:
            raise Refusal(PREFLIGHT_FAILED, str(error), f"correct the file or change {name}") from error
    program = params.command[0] if params.engine == "custom" else params.python_bin
    _check_program("command" if params.engine == "custom" else "pythonBin", program, params.work_dir)
    if params.pre_start:
        _check_program("preStart", params.pre_start[0], params.work_dir)


def _check_model(model_path: str) -> None:
    path = Path(model_path).expanduser()
    if path.exists():
        if not os.access(path, os.R_OK):
            raise Refusal(PREFLIGHT_FAILED, f"modelPath {model_path} cannot be read", "check its permissions")
        return
    if not _HUB_NAME.fullmatch(model_path):
        raise Refusal(
            PREFLIGHT_FAILED,
            f"modelPath {model_path} does not exist",
            "give the directory of the model on this machine, or its name at a hub (org/name)",
            "model_not_found",
            (f"modelPath {model_path} 不存在", "填写本机上的模型目录，或模型在 hub 上的名称（org/name）"),
        )


def _check_model_files(params: Params) -> None:
    """Raise Refusal if the files of the model show that no engine can load it. A preStart may still fetch them."""
    if params.engine == "custom" or params.pre_start:
        return
    problem = model_files.find_problem(params.model_path, params.args)
    if problem is not None:
        text, hint = problem.text, problem.hint
        raise Refusal(PREFLIGHT_FAILED, text.en, hint.en, problem.code, (text.zh, hint.zh))


def _check_program(name: str, program: str, work_dir: str) -> None:
    if "/" in program:
        path = Path(work_dir or ".") / program
        found = path.is_file() and os.access(path, os.X_OK)
    else:
        found = shutil.which(program) is not None
    if not found:
        raise Refusal(
            PREFLIGHT_FAILED, f"{name}: {program} is not an executable file", f"check the path, or change {name}"
        )


def check_disk(name: str, directory: Path, min_free_bytes: int) -> None:
    """Raise Refusal if a directory cannot be written or less is free. name: of the directory, for the message."""
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(
            PREFLIGHT_FAILED, f"{name} {directory} cannot be made: {error.strerror}", f"change the {name}"
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise Refusal(
            PREFLIGHT_FAILED, f"{name} {directory} is not writable", f"change its owner, or change the {name}"
        )
    free = free_bytes(directory)
    if free < min_free_bytes:
        raise Refusal(
            PREFLIGHT_FAILED,
            f"only {free // 1024**2} MiB are free in {directory}, {min_free_bytes // 1024**2} are kept free",
            f"free space (tracetail gc), change the {name}, or lower [launcher] min_free_disk_mb",
        )


def check_devices(params: Params, dev: Path = Path("/dev")) -> None:
    """Raise Refusal if a device is given by an index that this machine does not have.

    Reads the device files in dev, which is quick. A container may have the files of devices 4 and 5 only, which are
    its 0 and 1: an index is wrong only if neither count nor name allows it.
    """
    name = _DEVICE_FILES[engines.load(params.engine).devices_variable]
    there = {path.name.removeprefix(name) for path in dev.glob(f"{name}[0-9]*")}
    wrong = [one for one in params.devices if one.isdigit() and int(one) >= len(there) and one not in there]
    if there and wrong:
        raise Refusal(
            PREFLIGHT_FAILED,
            f"there is no device {', '.join(wrong)}: this machine has {len(there)}",
            "devices are numbered from 0: change `devices`",
        )


def check_claims(params: Params, others: list[registry.Launch]) -> None:
    """Raise Refusal if a running launch has claimed the port, or is loading on one of the devices."""
    for other in others:
        name = f"launch {other.record['launchId']} of {other.record['service']}"
        if params.port is not None and other.record.get("port") == params.port:
            raise Refusal(
                PORT_HELD, f"port {params.port} is claimed by {name}, which is {other.state}", "choose another port"
            )
        shared = sorted(set(params.devices) & set(other.record.get("devices", [])))
        if shared and other.state == "starting":
            raise Refusal(
                PREFLIGHT_FAILED,
                f"device {', '.join(shared)} is in use by {name}, which is still loading",
                "two models that load on one device see each other's memory: wait until it is ready",
            )


def check_port(params: Params) -> None:
    """Raise Refusal if a process holds the port."""
    if params.port is None:
        return
    found = ports.holder(params.port, params.host)
    if found is not None:
        stop = f"stop it (kill {found.pid})" if found.pid is not None else "ask its owner to stop it"
        raise Refusal(PORT_HELD, found.describe(), f"{stop}, or choose another port")
