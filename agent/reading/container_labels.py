"""Labels of a container's log: from its path, or from what Docker or podman keeps near it."""

import json
import os
import re
from pathlib import Path
from typing import Any

from tracetail.agent.reading.trusted_links import open_trusted

_POD = re.compile(
    r"/pods/(?P<namespace>[a-z0-9.-]{1,253})_(?P<pod>[a-z0-9.-]{1,253})_[A-Za-z0-9-]{1,64}/(?P<container>[a-z0-9.-]{1,253})"
    r"/\d{1,10}\.log(?:\.[0-9-]{1,32})?$"
)
"""A kubelet's `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log`."""
_PODS = "/pods/"
_POD_LINK = re.compile(
    r"/containers/(?P<pod>[a-z0-9.-]{1,253})_(?P<namespace>[a-z0-9.-]{1,253})_(?P<container>[a-z0-9.-]{1,253})"
    r"-[0-9a-f]{64}\.log$"
)
"""The link to it in `/var/log/containers`."""
_DOCKER = re.compile(r"/(?P<id>[0-9a-f]{64})/(?P=id)-json\.log(?:\.\d{1,4})?$")
_DOCKER_CONFIG = "config.v2.json"
_PODMAN = re.compile(r"-containers/(?P<id>[0-9a-f]{64})/userdata/ctr\.log$")
"""Podman's k8s-file driver writes `<storage>/<driver>-containers/<id>/userdata/ctr.log` unless a path is given."""
_PODMAN_CONTAINERS = "containers.json"
"""Of containers/storage, beside the containers: store.go there, type Container."""
_CONFIG_MAX_BYTES = 8 << 20
_VALUE_MAX = 256
_COMPOSE = {"project": "com.docker.compose.project", "service": "com.docker.compose.service"}
"""Our label, and Docker's that Compose sets."""


def container_labels(path: str) -> dict[str, str]:
    """Return the labels of the log at this path; none if it is no container's or cannot be known."""
    if match := _POD.search(path) or _POD_LINK.search(path):
        # Behind another /pods/ is a volume below /var/lib/kubelet/pods: there the pod chooses the names.
        return match.groupdict() if _PODS not in path[: match.start()] else {}
    if _DOCKER.search(path):
        return _docker_labels(_read(Path(path).with_name(_DOCKER_CONFIG)))
    if match := _PODMAN.search(path):
        return _podman_labels(_read(Path(path).parents[2] / _PODMAN_CONTAINERS), match["id"])
    return {}


def _read(path: Path) -> Any:
    """Return the content of a JSON file; None if it cannot be read."""
    try:
        with os.fdopen(open_trusted(path), "rb") as file:
            return json.loads(file.read(_CONFIG_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def _docker_labels(config: Any) -> dict[str, str]:
    inner = _object(config, "Config")
    docker = _object(inner, "Labels")
    return _valid(
        {
            "container": str(_object(config).get("Name") or "").removeprefix("/"),
            "image": inner.get("Image"),
            **{name: docker.get(label) for name, label in _COMPOSE.items()},
        }
    )


def _podman_labels(containers: Any, container_id: str) -> dict[str, str]:
    for container in containers if isinstance(containers, list) else ():
        if _object(container).get("id") != container_id:
            continue
        try:
            metadata = json.loads(container["metadata"])
        except (KeyError, TypeError, ValueError, RecursionError):
            return {}
        known = _object(metadata)
        return _valid({"container": known.get("name"), "image": known.get("image-name")})
    return {}


def _valid(labels: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if isinstance(value, str) and _is_label_value(value)}


def _object(value: Any, *names: str) -> dict[str, Any]:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _is_label_value(value: str) -> bool:
    return 0 < len(value) <= _VALUE_MAX and value.isprintable()
