"""Checks the parameter `container`, and completes it."""

import re
import shutil
from typing import Any

import msgspec

from tracetail.launcher.params import Container, ParametersError

_IMAGE = re.compile(r"[A-Za-z0-9][\w.:/@+-]{0,511}")
_SIZE = re.compile(r"\d+(?:\.\d+)?[bkmg]?b?", re.IGNORECASE)
_GPUS = re.compile(r"all|none|[\w.:-]+(?:,[\w.:-]+)*")
_OWNED = {
    "--name": "it names the container",
    "--rm": "it removes the container itself, after it has read how it ended",
    "-d": "the client stays in the foreground",
    "--detach": "the client stays in the foreground",
    "-t": "a terminal changes what the server prints",
    "--tty": "a terminal changes what the server prints",
    "-i": "the server has no input",
    "--interactive": "the server has no input",
    "-it": "a terminal changes what the server prints",
    "-ti": "a terminal changes what the server prints",
    "--restart": "the parameter `restart` does that, as a new launch",
    "--cidfile": "it reads the container's id from there",
    "--replace": "it never removes a container that it did not make",
    "--pull": "use container.pull",
    "--network": "use container.network",
    "--net": "use container.network",
    "--gpus": "use container.gpus",
    "--shm-size": "use container.shmSize",
    "--user": "use container.user",
    "-u": "use container.user",
    "-v": "use container.mounts",
    "--volume": "use container.mounts",
    "-e": "use `environ`, whose values no command line shows",
    "--env": "use `environ`, whose values no command line shows",
}
"""Options of the runtime that are not for `container.args`, and why."""


def relaxed(given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameter's values in their proper types if they were given in others: indices as a list."""
    found = {name: value for name, value in given.items() if value is not None}
    if isinstance(found.get("gpus"), list):
        found["gpus"] = ",".join(str(one) for one in found["gpus"]) or "none"
    for name in ("user", "shmSize", "gpus"):
        if isinstance(found.get(name), int) and not isinstance(found[name], bool):
            found[name] = str(found[name])
    for name in ("args", "mounts"):
        if isinstance(found.get(name), str):
            found[name] = [found[name]]
    return found


def complete(container: Container) -> Container:
    """Return the parameter with its runtime filled in. Raises ParametersError."""
    image = container.image
    if not image:
        raise ParametersError("container.image is missing: the image to run, for instance vllm/vllm-openai:v0.11.0")
    if not _IMAGE.fullmatch(image):
        raise ParametersError(f"container.image: {image[:80]!r} is not the name of an image, as registry/name:tag")
    for mount in container.mounts:
        _check_mount(mount)
    for argument in container.args:
        reason = _OWNED.get(argument.partition("=")[0])
        if reason:
            raise ParametersError(f"container.args: {argument.partition('=')[0]} is not for tracetail: {reason}")
    if container.shm_size and not _SIZE.fullmatch(container.shm_size):
        raise ParametersError(f"container.shmSize is {container.shm_size!r}: expected a size, as 16g or 512m")
    if container.gpus and not _GPUS.fullmatch(container.gpus):
        raise ParametersError(f"container.gpus is {container.gpus!r}: expected all, none or indices, as 0,1")
    if container.network.startswith("-") or container.user.startswith("-"):
        raise ParametersError("container.network and container.user are values, not options")
    return msgspec.structs.replace(
        container, runtime=container.runtime or default_runtime(), network=container.network or "host"
    )


def default_runtime() -> str:
    """Return the runtime for a container that names none: docker, or podman where only that is there."""
    only_podman = shutil.which("docker") is None and shutil.which("podman") is not None
    return "podman" if only_podman else "docker"


def _check_mount(mount: str) -> None:
    source, colon, rest = mount.partition(":")
    target = rest.partition(":")[0]
    if not colon or not source or not target.startswith("/"):
        raise ParametersError(
            f"container.mounts: {mount!r} is not <host path>:<path>[:ro], as /data/models:/models:ro"
        )
    if not source.startswith("/") and ("/" in source or source.startswith(".")):
        raise ParametersError(f"container.mounts: {mount!r}: the host's path must be absolute")
