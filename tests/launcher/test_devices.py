"""Devices: a start on one that is not there is refused; a stop is complete when none is held any more."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.npu import RECORDED, make_npu_smi, with_processes
from support.nvml import build_stub

from tracetail.contract.nvml import Devices, MemoryUse
from tracetail.contract.processes import is_alive, process_ref, read_process
from tracetail.launcher import params_input
from tracetail.launcher.machine.devices import devices_variable
from tracetail.launcher.machine.nvml import describe, held_by
from tracetail.launcher.operations import preflight
from tracetail.launcher.result import PREFLIGHT_FAILED, Refusal

READY = [["text", "ready now\n"], ["stay"]]
MIB = 1024**2


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Return the directory of a library that stands in for NVML's."""
    return build_stub(tmp_path_factory.mktemp("nvml")).parent


@pytest.fixture
def held(world, library, tmp_path):
    """Return the file with what processes hold: lines of device, pid, bytes."""
    path = tmp_path / "held"
    path.touch()
    world.environ |= {"LD_LIBRARY_PATH": str(library), "STUB_NVML": str(path)}
    return path


def asked(held):
    log = Path(f"{held}.asked")
    return log.stat().st_size if log.exists() else 0


@pytest.mark.needs("cc")
def test_a_stop_waits_until_the_driver_has_given_the_memory_back(world, held, wait_until):
    launch = world.launch(world.start([["fork", [["stay"]]], *READY]).result)
    members = [process_ref(process.pid) for process in world.members(launch)]
    assert len(members) == 2
    held.write_text("".join(f"1 {ref['pid']} {70_000 * MIB}\n" for ref in members))
    with world.popen("stop", "--model-name", "m") as stopping:
        wait_until(lambda: not launch.lock_held() and not any(is_alive(ref) for ref in members))
        before = asked(held)
        wait_until(lambda: asked(held) > before + 6)
        assert stopping.poll() is None
        held.write_text("")
        assert stopping.wait(60) == 0


@pytest.mark.needs("cc")
def test_memory_that_stays_held_is_a_stop_that_is_not_complete(world, held):
    launch = world.launch(world.start(READY, stopTimeoutSec=1).result)
    server = launch.read()["server"]
    held.write_text(f"0 1 {MIB}\n1 {server['pid']} {70_000 * MIB}\n")
    stopped = world.run("stop", "--model-name", "m")
    assert stopped.status == 14
    assert stopped.result["cause"] == f"not stopped completely: device 1: pid {server['pid']} holds 70000 MiB"
    assert "nvidia-smi" in stopped.result["hint"]
    assert not is_alive(server)


@pytest.mark.needs("cc")
def test_what_other_processes_hold_does_not_matter(world, held):
    world.start(READY)
    held.write_text("".join(f"{device} {os.getpid()} {MIB}\n" for device in (0, 1)) + f"0 1 {MIB}\n")
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_pid_that_is_another_process_by_now_holds_nothing_of_the_launch():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        use = MemoryUse(0, other.pid, None)
        start_time = read_process(other.pid).start_time
        assert held_by([use], {(other.pid, start_time)}) == [use]
        assert held_by([use], {(other.pid, start_time - 1)}) == []
        other.stdin.close()
        other.wait()
    assert held_by([use], {(other.pid, start_time)}) == [use]  # ended, and the driver still holds the memory
    assert describe(use) == f"device 0: pid {other.pid} holds memory"


@pytest.mark.needs("cc")
def test_every_process_of_every_device_is_returned(library, tmp_path):
    held = tmp_path / "held"
    held.write_text("".join(f"{n % 2} {n + 1000} {n}\n" for n in range(100)))
    code = "from tracetail.contract.nvml import Devices; print(sorted(u.pid for u in Devices.find().memory_uses()))"
    environ = os.environ | {"LD_LIBRARY_PATH": str(library), "STUB_NVML": str(held)}
    printed = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == str(list(range(1000, 1100)))


@pytest.mark.needs("cc")
def test_without_a_driver_there_are_no_devices(library):
    code = "from tracetail.contract.nvml import Devices; print(Devices.find())"
    environ = {k: v for k, v in os.environ.items() if k != "STUB_NVML"} | {"LD_LIBRARY_PATH": str(library)}
    printed = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "None"


def test_without_the_library_there_are_no_devices(monkeypatch):
    monkeypatch.setattr("tracetail.contract.nvml.LIBRARY", "libno-such-nvml.so.1")
    assert Devices.find() is None


@pytest.mark.parametrize(
    ("engine", "files", "devices", "missing"),
    [
        ("vllm", ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"], [0, 2], "2"),
        ("vllm", ["nvidia0", "nvidia1"], "0,1", None),
        ("vllm", ["nvidia4", "nvidia5"], [0, 1], None),  # a container: its own numbers
        ("vllm", ["nvidia4", "nvidia5"], [4, 5], None),
        ("vllm", ["nvidia0"], ["GPU-7e1f"], None),
        ("vllm", [], [0], None),  # unknown
        ("mindie", ["davinci0", "davinci_manager"], [0, 1, 2], "1, 2"),
        ("mindie", ["nvidia0"], [5], None),
    ],
)
def test_a_device_that_does_not_exist_is_refused(tmp_path, engine, files, devices, missing):
    for name in files:
        (tmp_path / name).touch()
    params = params_input.from_object(
        {"modelName": "m", "modelPath": "/", "engine": engine, "port": 1, "devices": devices}
    )
    if missing is None:
        preflight.check_devices(params, tmp_path)
        return
    with pytest.raises(Refusal) as refused:
        preflight.check_devices(params, tmp_path)
    assert refused.value.status == PREFLIGHT_FAILED
    assert str(refused.value).startswith(f"there is no device {missing}: this machine has ")


def test_memory_of_an_npu_that_stays_held_is_a_stop_that_is_not_complete(world, tmp_path):
    recorded = (RECORDED / "910b3-26.txt").read_text()
    output = tmp_path / "npu-smi.txt"
    output.write_text(with_processes(recorded, []))
    make_npu_smi(tmp_path, output)
    world.environ["PATH"] = f"{tmp_path}{os.pathsep}{world.environ['PATH']}"
    server = world.launch(world.start(READY, stopTimeoutSec=1).result).read()["server"]
    output.write_text(with_processes(recorded, [(6, 1, 100), (7, server["pid"], 60_000)]))
    stopped = world.run("stop", "--model-name", "m")
    assert stopped.status == 14
    assert stopped.result["cause"] == f"not stopped completely: device 1: pid {server['pid']} holds 60000 MiB"
    assert "npu-smi info shows it" in stopped.result["hint"]
    world.start(READY)
    output.write_text(with_processes(recorded, [(6, 1, 100)]))
    assert world.run("stop", "--model-name", "m").status == 0


@pytest.mark.parametrize(
    ("engine", "files", "variable"),
    [
        ("vllm", ["nvidia0"], "CUDA_VISIBLE_DEVICES"),
        ("vllm", ["davinci0", "davinci_manager"], "ASCEND_RT_VISIBLE_DEVICES"),
        ("custom", ["davinci0"], "ASCEND_RT_VISIBLE_DEVICES"),
        ("sglang", ["kfd"], "HIP_VISIBLE_DEVICES"),
        ("vllm", ["nvidia0", "kfd"], "CUDA_VISIBLE_DEVICES"),
        ("mindie", ["nvidia0"], "ASCEND_RT_VISIBLE_DEVICES"),
        ("vllm", [], "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_devices_are_selected_by_the_variable_of_the_machine(tmp_path, engine, files, variable):
    for name in files:
        (tmp_path / name).touch()
    assert devices_variable(engine, sys.executable, tmp_path) == variable


def test_a_python_with_vllm_ascend_runs_on_npus(tmp_path):
    python = tmp_path / "bin" / "python3"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    (tmp_path / "lib" / "python3.11" / "site-packages" / "vllm_ascend-0.23.0.dist-info").mkdir(parents=True)
    assert devices_variable("vllm", str(python), tmp_path) == "ASCEND_RT_VISIBLE_DEVICES"
    assert devices_variable("sglang", "no-such-python", tmp_path) == "CUDA_VISIBLE_DEVICES"
