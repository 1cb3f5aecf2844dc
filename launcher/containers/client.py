"""The command-line client of docker or podman: finds, reads, stops and removes containers. Standard library only.

Both clients are used where they agree, so that neither an API nor a socket's path is assumed: DOCKER_HOST, contexts
and podman's configuration files work as they do for the user.
"""

import contextlib
import grp
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

QUICK_SECONDS = 30.0
"""How long the runtime may take to answer: a busy daemon takes seconds."""
STOP_GRACE_SECONDS = 15.0
"""How long a stop may take beyond the time that the container gets."""
ENVIRONMENT = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
    "CONTAINER_HOST",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "REGISTRY_AUTH_FILE",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "HOME",
    "PATH",
)
"""Variables that decide which engine, storage and credentials a client uses: kept in the plan for later keepers."""

_WITH_STATUS = '"$@"; printf "\\n%s" "$?"'
"""A shell that prints the status of a command behind its output. A keeper reaps whatever child ends: nobody else
in it learns the status by waitpid(2), and subprocess then takes it for 0."""

_DENIED = re.compile(r"permission denied", re.IGNORECASE)
_AWAY = re.compile(
    r"Cannot connect to the Docker daemon|error during connect|unable to connect to Podman|connection refused"
    r"|connection reset|Is the docker daemon running|unexpected EOF|context deadline exceeded|i/o timeout"
    r"|server misbehaving|failed to connect to the docker API",
    re.IGNORECASE,
)
_NOT_FOUND = re.compile(r"no such (?:container|image|object)|image not known|no container with", re.IGNORECASE)
_GPU_LINE = re.compile(r"[Ww]arning: ")


class RuntimeProblemError(Exception):
    """The container runtime cannot be used. kind: `missing`, `away`, `denied` or `failed`."""

    def __init__(self, kind: str, cause: str, hint: str = "", zh: tuple[str, str] = ("", "")) -> None:
        super().__init__(cause)
        self.kind = kind
        self.cause = cause
        self.hint = hint
        self.zh = zh

    @property
    def code(self) -> str:
        """The code of the cause, as in docs/causes.md."""
        return {
            "missing": "container_runtime_missing",
            "away": "container_runtime_away",
            "denied": "container_runtime_denied",
        }.get(self.kind, "container_not_started")


class Container(NamedTuple):
    """What the runtime knows of a container."""

    id: str
    name: str
    labels: Mapping[str, str]
    running: bool
    """It runs, or is paused."""
    paused: bool
    started: bool
    """It has run."""
    pid: int
    """Of its first process, on this machine; 0 if it does not run."""
    exit_code: int
    oom_killed: bool
    """The kernel has ended a process of it, as its memory limit was reached."""
    removing: bool
    """It is being removed."""
    error: str
    """Why the runtime could not start it."""
    image_id: str
    image: str


class Client:
    """The client of one runtime, for one user's engine."""

    def __init__(self, runtime: str, environ: Mapping[str, str] | None = None) -> None:
        """Args: runtime: docker or podman; environ: its environment (this process's)."""
        self.runtime = runtime
        self._environ = dict(os.environ if environ is None else environ)

    def find(self, labels: Mapping[str, str]) -> list[str]:
        """Return the ids of all containers, ended ones too, that carry all of these labels."""
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}={value}")]
        return self.run("ps", "--all", "--no-trunc", "--quiet", *filters).split()

    def inspect(self, container: str) -> Container | None:
        """Return what is known of a container by its id; None if there is none."""
        found = self._inspect("container", container)
        return None if found is None else _container(found)

    def image(self, name: str) -> dict[str, Any] | None:
        """Return what `image inspect` says of an image; None if it is not on this machine."""
        return self._inspect("image", name)

    def stop(self, container: str, seconds: float) -> None:
        """Send SIGTERM to a container's first process, after this time SIGKILL; return when it has ended."""
        self.run("stop", "-t", str(max(0, round(seconds))), container, timeout=seconds + STOP_GRACE_SECONDS)

    def kill(self, container: str) -> None:
        """Send SIGKILL to a container's processes."""
        self.run("kill", container)

    def unpause(self, container: str) -> None:
        """Let a paused container go on: a stop would wait for it in vain."""
        self.run("unpause", container)

    def remove(self, container: str) -> None:
        """Remove a container and its anonymous volumes, whatever its state."""
        self.run("rm", "--force", "--volumes", container)

    def check(self) -> str:
        """Return the version of the engine. Raises RuntimeProblemError if the runtime cannot be used."""
        form = "{{.Server.Version}}" if self.runtime == "docker" else "{{.Client.Version}}"
        return self.run("version", "--format", form).strip()

    def run(self, *words: str, timeout: float = QUICK_SECONDS) -> str:
        """Run the client; return what it prints. Raises RuntimeProblemError."""
        program = _which(self.runtime, self._environ.get("PATH"))
        if program is None:
            raise missing(self.runtime)
        try:
            child = subprocess.Popen(
                ["/bin/sh", "-c", _WITH_STATUS, "sh", program, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=self._environ,
                start_new_session=True,
            )
        except OSError as error:
            raise RuntimeProblemError("failed", f"{self.runtime} cannot be run: {error.strerror or error}") from error
        try:
            printed, stderr = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            raise self.away(f"no answer to `{self.runtime} {words[0]}` within {timeout:g} s") from None
        stdout, _, status = printed.rpartition("\n")
        if status != "0":
            raise self.problem(stderr, f"`{self.runtime} {words[0]}` ended with status {status or 'unknown'}")
        return stdout

    def problem(self, stderr: str, otherwise: str = "") -> RuntimeProblemError:
        """Return the problem that the client reported."""
        lines = [line for line in stderr.splitlines() if line.strip() and not _GPU_LINE.match(line)]
        last = lines[-1].strip() if lines else otherwise
        if _AWAY.search(stderr) and not _DENIED.search(stderr):
            return self.away(last)
        if _DENIED.search(stderr) and ("socket" in stderr or "connect" in stderr):
            return self._denied()
        return RuntimeProblemError("failed", f"{self.runtime}: {last[:300]}")

    def away(self, why: str) -> RuntimeProblemError:
        """Return that the engine does not answer."""
        at = self._environ.get("DOCKER_HOST", "") if self.runtime == "docker" else ""
        where = f" at {at}" if at else ""
        start = "systemctl start docker" if self.runtime == "docker" else "check podman info"
        return RuntimeProblemError(
            "away",
            f"{self.runtime} does not answer{where}: {why[:200]}",
            f"start it ({start}), or correct DOCKER_HOST",
            (f"{self.runtime} 没有响应{where}：{why[:200]}", f"启动它（{start}），或修正 DOCKER_HOST"),
        )

    def _denied(self) -> RuntimeProblemError:
        path = self._socket()
        group = _group_of(path)
        hint = f"join the group {group} (usermod -aG {group} USER, then log in again): it is as powerful as root"
        hint_zh = f"加入用户组 {group}（usermod -aG {group} 用户名，然后重新登录）；该组等同于 root 权限"
        return RuntimeProblemError(
            "denied",
            f"no permission to use {self.runtime}'s socket {path}",
            hint,
            (f"没有权限使用 {self.runtime} 的套接字 {path}", hint_zh),
        )

    def _socket(self) -> str:
        host = urlsplit(self._environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
        return host.path or "/var/run/docker.sock"

    def _inspect(self, kind: str, name: str) -> dict[str, Any] | None:
        try:
            found = json.loads(self.run(kind, "inspect", name))
        except RuntimeProblemError as problem:
            if problem.kind == "failed" and _NOT_FOUND.search(problem.cause):
                return None
            raise
        except ValueError as error:
            raise RuntimeProblemError("failed", f"{self.runtime} {kind} inspect did not print JSON") from error
        return found[0] if found else None


def missing(runtime: str) -> RuntimeProblemError:
    """Return that a runtime is not installed."""
    other = "podman" if runtime == "docker" else "docker"
    return RuntimeProblemError(
        "missing",
        f"{runtime} is not installed: there is no such command on PATH",
        f"install it, or choose the other one (container.runtime: {other})",
        (f"未安装 {runtime}：PATH 中没有该命令", f"安装它，或换用另一个（container.runtime: {other}）"),
    )


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables on which a client's engine depends."""
    return {name: environ[name] for name in ENVIRONMENT if name in environ}


def installed() -> Sequence[str]:
    """Return the runtimes whose commands are there."""
    return [runtime for runtime in ("docker", "podman") if _which(runtime) is not None]


def _which(program: str, path: str | None = None) -> str | None:
    import shutil  # noqa: PLC0415  (its compression modules take half a MiB of every keeper)

    return shutil.which(program, path=path)


def _container(found: Mapping[str, Any]) -> Container:
    state, config = found["State"], found.get("Config") or {}
    started = str(state.get("StartedAt", ""))
    return Container(
        id=found["Id"],
        name=str(found.get("Name", "")).lstrip("/"),
        labels=config.get("Labels") or {},
        running=bool(state.get("Running")) or bool(state.get("Paused")),
        paused=bool(state.get("Paused")),
        started=bool(started) and not started.startswith("0001-"),
        pid=int(state.get("Pid") or 0),
        exit_code=int(state.get("ExitCode") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        removing=state.get("Status") == "removing",
        error=str(state.get("Error") or ""),
        image_id=str(found.get("Image", "")),
        image=str(config.get("Image") or found.get("ImageName") or ""),
    )


def _group_of(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116  (a socket)
        return grp.getgrgid(found.st_gid).gr_name if stat.S_IMODE(found.st_mode) & stat.S_IWGRP else "docker"
    except (OSError, KeyError):
        return "docker"
