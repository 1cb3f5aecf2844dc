"""The command that makes a launch's container from the parameters: `docker run` without the start."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tracetail.launcher.containers import labels, machine_devices
from tracetail.launcher.engines import flag_given
from tracetail.launcher.params import Container, Params
from tracetail.launcher.plan import CONTAINER_ENVIRON_FILE, CONTAINER_ID_FILE

_SHARED_MEMORY = "16g"
"""Tensor-parallel workers exchange data through /dev/shm, of which a container has 64 MB. Unused, it takes none."""
_OWN_OPTIONS = frozenset({"--pull", "--cidfile", "--env-file", "--label", "--env", "--log-driver"})
_ENGINES = frozenset({"vllm", "sglang", "mindie"})
_PRIVATE_NETWORKS = re.compile(r"host$|none$|container:")


def create(
    params: Params,
    *,
    launch_dir: Path,
    own_labels: Mapping[str, str],
    argv: Sequence[str],
    files: Sequence[str],
    shown: Mapping[str, str],
    inherited: Iterable[str],
    work_dir: str,
) -> list[str]:
    """Return the command.

    Args:
        params: of the launch; completed.
        launch_dir: its directory.
        own_labels: the labels by which the container belongs to the launch.
        argv: what runs in the container.
        files: names of files in the launch's directory that the server reads.
        shown: variables of the server that hold no secret.
        inherited: names of variables whose values the client has in its own environment.
        work_dir: directory in the container; "" for the image's.

    """
    container = params.container
    assert container is not None
    words = [container.runtime, "create", "--name", labels.name(launch_dir.name), "--init"]
    words += ["--pull", "never"]
    words += ["--cidfile", str(launch_dir / CONTAINER_ID_FILE)]
    words += ["--env-file", str(launch_dir / CONTAINER_ENVIRON_FILE)]
    for name, value in own_labels.items():
        words += ["--label", f"{name}={value}"]
    for name, value in shown.items():
        words += ["--env", f"{name}={value}"]
    for name in inherited:
        words += ["--env", name]
    words += ["--network", container.network]
    if params.port is not None and not _PRIVATE_NETWORKS.match(container.network):
        words += ["--publish", f"{_published_address(params.host)}{params.port}:{params.port}"]
    if not flag_given(container.args, "--log-driver"):
        words += ["--log-driver", "none"]  # the launch's log has it, bounded and for as long as it is wanted
    shared = container.shm_size or (_SHARED_MEMORY if params.engine in _ENGINES else "")
    if shared and not flag_given(container.args, "--ipc"):
        words += ["--shm-size", shared]
    if container.user:
        words += ["--user", container.user]
    if work_dir:
        words += ["--workdir", work_dir]
    words += machine_devices.options(params)
    for mount in [*_own_mounts(params, launch_dir, files), *container.mounts]:
        words += ["--volume", mount]
    return [*words, *container.args, container.image, *argv]


def readable(create_words: Sequence[str]) -> list[str]:
    """Return the command for people: as `docker run`, without what is only for tracetail's own use."""
    words = [create_words[0], "run"]
    rest = iter(create_words[2:])
    for word in rest:
        if word in _OWN_OPTIONS:
            next(rest, None)
        else:
            words.append(word)
    return words


def pull(container: Container) -> list[str]:
    """Return the command that pulls the image, which prints its progress."""
    return [container.runtime, "pull", container.image]


def host_path(container: Container, path: str) -> Path | None:
    """Return where a path of the container is on this machine; None if the image, or a volume, has it."""
    for mount in container.mounts:
        source, target = mount.split(":")[:2]
        inside = os.path.relpath(path, target)
        if source.startswith("/") and not inside.startswith(".."):
            return Path(source) / inside
    found = Path(path)
    return found if found.is_absolute() and found.exists() else None


def _own_mounts(params: Params, launch_dir: Path, files: Sequence[str]) -> list[str]:
    """Return the mounts of the model's directory and of files for the server, at the same paths, to be read only."""
    assert params.container is not None
    found = []
    model = Path(params.model_path)
    mounted = any(not os.path.relpath(model, m.split(":")[1]).startswith("..") for m in params.container.mounts)
    if params.model_path and model.is_absolute() and model.exists() and not mounted:
        found.append(f"{model}:{model}:ro")
    return [*found, *(f"{launch_dir / name}:{launch_dir / name}:ro" for name in files)]


def _published_address(host: str) -> str:
    if not host or host in ("0.0.0.0", "::"):  # noqa: S104  (how a parameter says: on all)
        return ""
    return f"[{host}]:" if ":" in host else f"{host}:"


def registry_digest(image: Mapping[str, object]) -> str:
    """Return the digest by which a registry knows an image (of `image inspect`), else the image's own id."""
    digests = image.get("RepoDigests") or []
    assert isinstance(digests, list), json.dumps(digests)
    name = str(digests[0]) if digests else ""
    if "@" in name:
        return name.partition("@")[2]
    own = str(image.get("Id", ""))
    return own if own.startswith("sha256:") or not own else f"sha256:{own}"
