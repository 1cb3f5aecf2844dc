"""MindIE: configured by a JSON file, which is written for the port and the model; devices are Ascend NPUs.

Source: https://www.hiascend.com/document/detail/en/mindie/230/LLMframe/llmdev/mindie_service0285.html
"""

import json
import os
from pathlib import Path
from typing import Any

from tracetail.contract.safe_open import read_file
from tracetail.launcher.engines import Command, Engine, EngineError, Phase, Service

INSTALL_VARIABLE = "MIES_INSTALL_PATH"
CONFIG_VARIABLE = "MIES_CONFIG_JSON_PATH"
DEFAULT_INSTALL_PATH = "/usr/local/Ascend/mindie/latest/mindie-service"
CONFIG_NAME = "mindie.json"
ALL_INTERFACES = "0.0.0.0"  # noqa: S104  (the test platform probes from outside)


def command(service: Service) -> Command:
    """Return the daemon's command, and its configuration: the installed one with port, model and devices put in.

    `args` are `Key.Path=value` settings of that configuration: the daemon takes no flags.
    """
    install = Path(os.environ.get(INSTALL_VARIABLE, DEFAULT_INSTALL_PATH))
    base = Path(os.environ.get(CONFIG_VARIABLE) or install / "conf" / "config.json")
    return _configured(service, str(install), base, f"{CONFIG_VARIABLE} or {INSTALL_VARIABLE} name it")


def container_command(service: Service) -> Command:
    """Return the same for a container: `environ` names the paths, that of the configuration is one of this machine.

    It must be the configuration that the image has: which keys there are changes with MindIE's version.
    """
    install = service.environ.get(INSTALL_VARIABLE, DEFAULT_INSTALL_PATH)
    image = service.container.image if service.container is not None else ""
    base = service.environ.get(CONFIG_VARIABLE, "")
    how = (
        f"copy the image's own to this machine (docker run --rm --entrypoint cat {image} {install}/conf/config.json "
        f"> mindie.json) and name it in environ: {CONFIG_VARIABLE}"
    )
    if not base:
        raise EngineError(f"MindIE in a container needs a configuration to start from: {how}")
    return _configured(service, install, Path(base), how)


def _configured(service: Service, install: str, base: Path, how: str) -> Command:
    """Return the daemon's command for a configuration. how: what to do if it cannot be read."""
    try:
        configuration = json.loads(read_file(base))
    except (OSError, ValueError) as error:
        raise EngineError(f"MindIE's configuration {base} cannot be read: {error}; {how}") from error
    _put_in(configuration, service)
    for argument in service.args:
        _set(configuration, argument)
    environ = {
        "MINDIE_LOG_TO_STDOUT": "1",
        "MINDIE_LLM_LOG_TO_STDOUT": "1",
        CONFIG_VARIABLE: "{launchDir}/" + CONFIG_NAME,
    }
    content = json.dumps(configuration, indent=2, ensure_ascii=False)
    return Command([f"{install}/bin/mindieservice_daemon"], environ, {CONFIG_NAME: content})


def _put_in(configuration: dict[str, Any], service: Service) -> None:
    server = configuration.setdefault("ServerConfig", {})
    server["port"] = service.port
    server["ipAddress"] = service.host or ALL_INTERFACES
    if server["ipAddress"] == ALL_INTERFACES:
        server["allowAllZeroIpListening"] = True
    backend = configuration.setdefault("BackendConfig", {})
    deploy = backend.setdefault("ModelDeployConfig", {})
    models = deploy.setdefault("ModelConfig", [{}])
    models[0]["modelName"] = service.served_name
    models[0]["modelWeightPath"] = service.model_path
    if service.devices:  # ASCEND_RT_VISIBLE_DEVICES numbers the visible ones from 0
        backend["npuDeviceIds"] = [list(range(len(service.devices)))]
        models[0]["worldSize"] = len(service.devices)


def _set(configuration: dict[str, Any], argument: str) -> None:
    path, equals, text = argument.partition("=")
    *tables, key = path.split(".")
    if not equals or not key:
        raise EngineError(
            f"args: {argument!r} is not Key.Path=value, as BackendConfig.ModelDeployConfig.maxSeqLen=4096"
        )
    table = configuration
    for name in tables:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise EngineError(f"args: {name} in {argument!r} is not a table of MindIE's configuration")
    try:
        table[key] = json.loads(text)
    except ValueError:
        table[key] = text


ENGINE = Engine(
    name="mindie",
    default_port=1025,
    ready_path="/v1/models",
    models_path="/v1/models",
    completions_path="/v1/completions",
    command=command,
    container_command=container_command,
    devices_variable="ASCEND_RT_VISIBLE_DEVICES",
    ready_when="log:Daemon start success!",
    phases=(Phase("daemon started", b"Daemon start success!"),),
)
