"""Real container runtimes for tests: a Docker engine of the test's own, and podman with files of its own.

Both run as root, without a registry and without a bridge: containers use the machine's network. The image is
busybox-static (IMAGE), with all its commands in /bin.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from support.waiting import wait_for

IMAGE = "busybox-static"
DOCKER_PROGRAMS = ("dockerd", "docker", "busybox")
"""For the marker `needs`; Debian's packages are docker.io and busybox-static."""
PODMAN_PROGRAMS = ("podman", "runc", "conmon", "busybox")
_START_SECONDS = 180
"""It starts containerd, and looks for what the kernel offers, in a second or, on a busy machine, in a minute."""
_STOP_SECONDS = 30
_RUN_SECONDS = 120
_WITHOUT_BRIDGE = ("--network", "host")
_PODMAN_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
"""The defaults are more than an unprivileged machine allows."""


def make_root(directory: Path) -> Path:
    """Make a root file system of busybox in a directory; return the directory."""
    binaries = directory / "bin"
    binaries.mkdir(parents=True)
    for name in ("tmp", "run"):  # an init for `--init` is mounted in /run
        (directory / name).mkdir()
    busybox = shutil.copy(shutil.which("busybox") or "busybox", binaries / "busybox")
    for name in subprocess.check_output([busybox, "--list"], text=True).split():
        if name != "busybox":
            (binaries / name).symlink_to("busybox")
    return directory


class DockerEngine:
    """A dockerd with its data, socket and client configuration in one directory, whose path has to be short."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host = f"unix://{directory}/d.sock"
        """For DOCKER_HOST."""
        self.environ = {"DOCKER_HOST": self.host, "DOCKER_CONFIG": str(directory / "client")}
        self.containers = directory / "data" / "containers"
        """Docker's json-file logs are `<id>/<id>-json.log` in it."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> "DockerEngine":
        """Start it, or start it again; options: further ones of dockerd."""
        with (self.directory / "dockerd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd",
                    *("--data-root", self.directory / "data", "--exec-root", self.directory / "exec"),
                    *("--host", self.host, "--pidfile", self.directory / "d.pid"),
                    *("--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", "vfs"),
                    *options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, "dockerd to answer", _START_SECONDS)
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "dockerd.log").read_text()[-2000:]
        return self.attempt("version").returncode == 0

    def attempt(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the client; return what came of it. options: of subprocess.run."""
        return _run([self.client, *arguments], {**os.environ, **self.environ, **options.pop("env", {})}, options)

    def __call__(self, *arguments: str | Path, **options: Any) -> str:
        """Run the client; return what it printed, without the white space around it. It has to succeed."""
        return _output(self.attempt(*arguments, **options))

    @property
    def client(self) -> str:
        """The path of the client; it needs `environ`."""
        return shutil.which("docker") or "docker"

    def run(self, *options: str, command: tuple[str, ...]) -> str:
        """Run a container of IMAGE in the background; return its id."""
        return self("run", "--detach", *_WITHOUT_BRIDGE, *options, IMAGE, *command)

    def log_path(self, container: str) -> Path:
        """Return the path of a container's json-file log."""
        return Path(self("inspect", "--format", "{{.LogPath}}", container))

    def load_image(self, root: Path, name: str = IMAGE) -> None:
        """Make an image of a root file system."""
        with _archive(root) as archive:
            self("import", "-", name, stdin=archive)

    def remove_containers(self) -> None:
        """Kill and remove all containers. One that removes itself at its end may be on its way already."""
        wait_for(self._has_removed_containers, "the removal of all containers")

    def _has_removed_containers(self) -> bool:
        ids = self("ps", "--all", "--quiet").split()
        if ids:
            self.attempt("rm", "--force", "--volumes", *ids)
        return not ids

    def stop(self) -> None:
        """End it and its containers."""
        if self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(AssertionError):
                self.remove_containers()
            self.end()
        # It leaves these mounts behind, the second if it was killed, and its directory could not be removed.
        for path in (self.directory / "exec" / "netns" / "default", self.directory / "data"):
            subprocess.run(["umount", path], capture_output=True, check=False)

    def end(self, number: int = signal.SIGTERM) -> None:
        """End dockerd by a signal; its containers remain if it may not clean up, or with `--live-restore`."""
        assert self._process is not None
        self._process.send_signal(number)
        if number == signal.SIGKILL:  # its containerd would run on, and the next dockerd not start
            containerd = self.directory / "exec" / "containerd" / "containerd.pid"
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(containerd.read_text()), signal.SIGKILL)
            containerd.unlink(missing_ok=True)  # where nothing reaps it, it seems to live on
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Podman:
    """Podman with runc and cgroupfs, with its storage in one directory. There is no daemon."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = {
            "CONTAINERS_CONF": str(directory / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(directory / "storage.conf"),
        }
        """Enough for a plain `podman` to use this storage, with what it needs here."""
        (directory / "containers.conf").write_text(_podman_configuration(directory))
        (directory / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/root"\nrunroot = "{directory}/run"\n'
        )

    def command(self, *arguments: str | Path) -> list[str]:
        """Return a podman command line with the options that it needs here; it needs `environ`."""
        limits = _PODMAN_LIMITS if arguments[0] in ("run", "create") else ()
        return [
            shutil.which("podman") or "podman",
            *("--root", str(self.directory / "root"), "--runroot", str(self.directory / "run")),
            *("--tmpdir", str(self.directory / "tmp"), "--storage-driver", "vfs"),
            *("--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", "runc"),
            str(arguments[0]),
            *limits,
            *map(str, arguments[1:]),
        ]

    def attempt(self, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run podman; return what came of it. options: of subprocess.run."""
        return _run(self.command(*arguments), {**os.environ, **self.environ}, options)

    def __call__(self, *arguments: str | Path, **options: Any) -> str:
        """Run podman; return what it printed, without the white space around it. It has to succeed."""
        return _output(self.attempt(*arguments, **options))

    def run(self, *options: str, command: tuple[str, ...]) -> str:
        """Run a container of IMAGE in the background; return its id."""
        return self("run", "--detach", *_WITHOUT_BRIDGE, *options, IMAGE, *command)

    def log_path(self, container: str) -> Path:
        """Return the path of a container's k8s-file log."""
        return Path(self("inspect", "--format", "{{.HostConfig.LogConfig.Path}}", container))

    def load_image(self, root: Path, name: str = IMAGE) -> None:
        """Make an image of a root file system."""
        with _archive(root) as archive:
            self("import", "-", name, stdin=archive)

    def stop(self) -> None:
        """Kill and remove all containers."""
        self.attempt("rm", "--all", "--force", "--time", "0")


def _podman_configuration(directory: Path) -> str:
    """Return containers.conf. Debian's podman comes without catatonit; docker's own init serves `--init` as well."""
    init = shutil.which("docker-init") or "/usr/bin/docker-init"
    return f"""[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
init_path = "{init}"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{directory}/tmp"
[network]
network_backend = "netavark"
"""


@contextlib.contextmanager
def docker_engine(*options: str) -> Iterator[DockerEngine]:
    """Start a Docker engine that has IMAGE; end and remove it. options: further ones of dockerd."""
    with _short_directory("docker") as directory:
        engine = DockerEngine(directory)
        try:
            engine.start(*options)
            engine.load_image(make_root(directory / "busybox"))
            yield engine
        finally:
            engine.stop()


@contextlib.contextmanager
def podman_storage() -> Iterator[Podman]:
    """Give a podman that has IMAGE; remove its containers and its storage."""
    with _short_directory("podman") as directory:
        podman = Podman(directory)
        try:
            podman.load_image(make_root(directory / "busybox"))
            yield podman
        finally:
            podman.stop()


@contextlib.contextmanager
def _short_directory(name: str) -> Iterator[Path]:
    """Give a directory whose path leaves space for that of a socket (108 bytes)."""
    with tempfile.TemporaryDirectory(prefix=f"tracetail-{name}-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextlib.contextmanager
def _archive(root: Path) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        subprocess.run(["tar", "-C", root, "-c", "."], stdout=file, check=True)
        file.seek(0)
        yield file


def _run(
    argv: list[str | Path], environ: dict[str, str], options: dict[str, Any]
) -> subprocess.CompletedProcess[str]:
    options = {"stdin": subprocess.DEVNULL, "timeout": _RUN_SECONDS, **options}
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, **options)


def _output(run: subprocess.CompletedProcess[str]) -> str:
    assert run.returncode == 0, (run.args, run.stderr)
    return run.stdout.strip()
