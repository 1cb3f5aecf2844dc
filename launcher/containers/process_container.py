"""The container that a process of this machine belongs to, for messages: its id is in the process's control group."""

import re
from pathlib import Path
from typing import NamedTuple

from tracetail.launcher.containers import client
from tracetail.launcher.containers.client import Client, RuntimeProblemError

_ID = re.compile(r"[/-]([0-9a-f]{64})(?:\.scope)?(?:/|$)", re.MULTILINE)
_PROXIES = frozenset({"docker-proxy", "rootlessport", "conmon", "slirp4netns", "pasta"})
"""Processes that hold a published port in place of the container."""


class NamedContainer(NamedTuple):
    """A container, as people call it."""

    runtime: str
    name: str
    image: str

    def describe(self) -> str:
        """Return `container web (image nginx, docker)`."""
        return f"container {self.name} (image {self.image}, {self.runtime})"

    def describe_zh(self) -> str:
        """Return the same in Chinese."""
        return f"容器 {self.name}（镜像 {self.image}，{self.runtime}）"

    def stop_command(self) -> str:
        """Return the command that stops it."""
        return f"{self.runtime} stop {self.name}"


def of_port(port: int, holder: int | None) -> NamedContainer | None:
    """Return the container that holds a port. holder: the process that does; None if it is not known."""
    return (of_process(holder) if holder is not None else None) or publishing(port, holder)


def of_process(pid: int, proc: Path = Path("/proc")) -> NamedContainer | None:
    """Return the container of a process; None if it is in none, or no runtime that answers knows it."""
    try:
        groups = (proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = _ID.search(groups)
    return _first(f"id={found[1]}") if found is not None else None


def publishing(port: int, holder: int | None, proc: Path = Path("/proc")) -> NamedContainer | None:
    """Return the container that publishes a port; None if the process that holds it is no runtime's proxy."""
    try:
        name = (proc / str(holder) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        name = ""
    # The name of a process has at most 15 characters.
    return _first(f"publish={port}") if any(name == proxy[:15] for proxy in _PROXIES) else None


def _first(condition: str) -> NamedContainer | None:
    for runtime in client.installed():
        try:
            lines = Client(runtime).run(
                "ps", "--no-trunc", "--filter", condition, "--format", "{{.Names}}\t{{.Image}}", timeout=5.0
            )
        except RuntimeProblemError:
            continue
        if lines.strip():
            name, _, image = lines.splitlines()[0].partition("\t")
            return NamedContainer(runtime, name, image)
    return None
