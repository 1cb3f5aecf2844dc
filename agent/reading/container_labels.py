"""Labels of a container's log: from its path, or from what Docker writes beside it."""

import json
import os
import re
from pathlib import Path
from typing import Any

from tracetail.contract.safe_open import open_file

_POD = re.compile(
    r"/pods/(?P<namespace>[a-z0-9.-]{1,253})_(?P<pod>[a-z0-9.-]{1,253})_[A-Za-z0-9-]{1,64}/(?P<container>[a-z0-9.-]{1,253})"
    r"/\d{1,10}\.log(?:\.[0-9-]{1,32})?$"
)
"""A kubelet's `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log`."""
_POD_LINK = re.compile(
    r"/containers/(?P<pod>[a-z0-9.-]{1,253})_(?P<namespace>[a-z0-9.-]{1,253})_(?P<container>[a-z0-9.-]{1,253})"
    r"-[0-9a-f]{64}\.log$"
)
"""The link to it in `/var/log/containers`."""
_DOCKER = re.compile(r"/(?P<id>[0-9a-f]{64})/(?P=id)-json\.log(?:\.\d{1,4})?$")
_DOCKER_CONFIG = "config.v2.json"
_CONFIG_MAX_BYTES = 1 << 20
_VALUE_MAX = 256
_COMPOSE = {"project": "com.docker.compose.project", "service": "com.docker.compose.service"}
"""Our label, and Docker's that Compose sets."""


def container_labels(path: str) -> dict[str, str]:
    """Return the labels of the log at this path; none if it is no container's or cannot be known."""
    if match := _POD.search(path) or _POD_LINK.search(path):
        return match.groupdict()
    if _DOCKER.search(path):
        return _docker_labels(Path(path).with_name(_DOCKER_CONFIG))
    return {}


def _docker_labels(config_path: Path) -> dict[str, str]:
    try:
        descriptor = open_file(config_path)
        with os.fdopen(descriptor, "rb") as file:
            config = json.loads(file.read(_CONFIG_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    inner = _object(config, "Config")
    docker = _object(inner, "Labels")
    found = {
        "container": str(_object(config).get("Name") or "").removeprefix("/"),
        "image": inner.get("Image"),
        **{name: docker.get(label) for name, label in _COMPOSE.items()},
    }
    return {name: value for name, value in found.items() if isinstance(value, str) and _is_label_value(value)}


def _object(value: Any, *names: str) -> dict[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _is_label_value(value: str) -> bool:
    return 0 < len(value) <= _VALUE_MAX and value.isprintable()
