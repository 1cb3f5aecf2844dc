"""`tracetail run` as PID 1 of a real container: not root, a read-only root file system, one volume to write to."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.container_runtimes import PODMAN_PROGRAMS, podman_storage
from support.waiting import wait_for

import tracetail

USER = 9464
MACHINE = ("/usr", "/lib", "/lib64", "/etc")
"""What Python and the programs of the test need of this machine; the image itself is busybox."""
SERVER = """
import os, signal, subprocess, sys, time
reading, writing = os.pipe()
for _ in range(3):  # each leaves a child behind that ends once the pipe is closed
    subprocess.run(["sh", "-c", f"cat <&{reading} &"], pass_fds=[reading])
def others():
    return {int(pid) for pid in os.listdir("/proc") if pid.isdigit()} - {1, os.getpid()}
left = len(others())
os.close(writing)
deadline = time.monotonic() + 60
while others() and time.monotonic() < deadline:  # a zombie is listed until PID 1 has reaped it
    time.sleep(0.05)
print(f"pid 1 runs {open('/proc/1/cmdline').read().split(chr(0))[3]}, left: {left}, then {len(others())}", flush=True)
print(f"uid {os.getuid()}, trace {os.environ['TRACE_ID']}, instance {os.environ['INSTANCE_ID']}", flush=True)
try:
    open("/written", "w")
except OSError as error:
    print(f"root file system: {error.strerror}", flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
if sys.argv[1] == "fail":
    print("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", flush=True)
    sys.exit(1)
print("serving", flush=True)
while True:
    time.sleep(0.1)
"""


def directories():
    """Return the directories that hold Python, its packages and tracetail, and those of the machine's libraries."""
    python = Path(sys.executable)
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(tracetail.__file__).resolve().parents[1], python.parent}
    found |= {Path(path) for path in MACHINE if Path(path).exists()}
    return [path for path in sorted(found) if not any(other in path.parents for other in found)]


@pytest.fixture(scope="module")
def podman():
    with podman_storage() as made:
        yield made


class Container:
    """A container whose main command is `tracetail run`."""

    def __init__(self, podman, directory, *command):
        self.podman = podman
        self.state = directory / "state"
        self.state.mkdir()
        self.state.chmod(0o777)
        self.termination_log = directory / "termination-log"
        self.termination_log.touch()
        self.termination_log.chmod(0o666)
        volumes = [f"--volume={path}:{path}:ro" for path in directories()]
        volumes += [
            f"--volume={self.state}:/var/lib/tracetail",
            f"--volume={self.termination_log}:/dev/termination-log",
        ]
        environ = {"TRACETAIL_STATE_DIR": "/var/lib/tracetail", "TRACE_ID": "t-1", "INSTANCE_ID": "pod-7"}
        self.id = podman(
            *("run", "--detach", "--network=host", "--read-only", f"--user={USER}:{USER}", "--cap-drop=all"),
            *("--security-opt=no-new-privileges", "--tmpfs=/tmp", *volumes),
            *(f"--env={name}={value}" for name, value in environ.items()),
            *("busybox-static", sys.executable, "-m", "tracetail", "run", "--", *command),
        )

    def logs(self):
        done = self.podman.attempt("logs", self.id)
        return done.stdout + done.stderr

    def status(self):
        return int(self.podman("wait", self.id))


@pytest.mark.needs(*PODMAN_PROGRAMS)
@pytest.mark.usefixtures("readable")
def test_a_stop_of_the_container_ends_the_server_with_its_own_status(podman, tmp_path):
    container = Container(podman, tmp_path, sys.executable, "-c", SERVER, "serve")
    wait_for(lambda: "] serving" in container.logs(), "the server")
    podman("stop", "--time", "20", container.id)
    assert container.status() == 5
    printed = container.logs()
    assert "pid 1 runs tracetail.launcher.keeper.main, left: 3, then 0" in printed
    assert f"uid {USER}, trace t-1, instance pod-7" in printed
    assert "root file system: Read-only file system" in printed
    assert "exited state=stopped" in printed.splitlines()[-1]
    (segment,) = container.state.glob("logs/*/*/*.log")
    assert segment.read_text() == printed
    assert container.termination_log.read_text() == ""


@pytest.mark.needs(*PODMAN_PROGRAMS)
@pytest.mark.usefixtures("readable")
def test_the_cause_of_a_failure_is_where_kubernetes_looks_for_it(podman, tmp_path):
    container = Container(podman, tmp_path, sys.executable, "-c", SERVER, "fail")
    assert container.status() == 1
    reason = container.termination_log.read_text()
    assert reason.startswith("failed: the GPU's memory is full"), container.logs()
    assert "traceId=t-1 instanceId=pod-7" in reason


@pytest.fixture(scope="module")
def readable():
    """Skip where another user may not read Python or tracetail: a home directory of mode 0700, for instance."""
    command = [
        "setpriv",
        f"--reuid={USER}",
        f"--regid={USER}",
        "--clear-groups",
        sys.executable,
        "-c",
        "import tracetail",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"user {USER} cannot run {sys.executable}: {done.stderr.strip()[-200:]}")
