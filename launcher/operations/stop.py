"""`stop`: has the keeper of a launch stop it, waits for that, and proves it.

A stop is proven when no process of the launch is left, its port is free, and, where there is NVML, none of its
processes holds memory of a device.
"""

import contextlib
import functools
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tracetail.contract import accelerators, record
from tracetail.contract.accelerators import Accelerators
from tracetail.contract.nvml import MemoryUse
from tracetail.contract.owned_files import user_name
from tracetail.contract.process_tag import LAUNCH_TAG
from tracetail.contract.processes import Process, boot_id, read_environ, read_process
from tracetail.contract.record import LaunchDir, Record
from tracetail.contract.system_reasons import in_chinese
from tracetail.launcher import plan, registry
from tracetail.launcher.machine import ports, processes
from tracetail.launcher.machine.nvml import describe, held_by
from tracetail.launcher.operations import as_owner, keeper_process, launch_container, rescue
from tracetail.launcher.result import LOCKED, OK, STOP_INCOMPLETE, Result

GRACE_SECONDS = 20.0
"""How long after stopTimeoutSec a keeper may take to kill, and to write the end."""
DEFAULT_STOP_SECONDS = 30.0
KILLED_SECONDS = 5.0
"""How long a process may take to end by SIGKILL."""
PORT_SECONDS = 3.0
"""How long a port may take to become free after the last process has ended."""
DEVICE_SECONDS = 10.0
"""How long a driver may take to free what the last process held, unless stopTimeoutSec is longer."""
SAMPLE_SECONDS = 0.2
"""Interval at which the launch's processes are read while they end."""


class SeenProcesses:
    """The processes of a launch that were seen during its stop, to find what they still hold after their end."""

    def __init__(self, launch: registry.Launch) -> None:
        self._launch = launch
        self._seen: set[tuple[int, int]] = set()
        server = launch.record.get("server")
        if server is not None and server["bootId"] == boot_id():
            self._seen.add((server["pid"], server["startTime"]))
        self._add_running()

    @functools.cached_property
    def _devices(self) -> Accelerators | None:
        """Found only once the stop is under way: with a broken driver that takes long."""
        return accelerators.find()

    def sample(self) -> None:
        """Add the processes that run now. Does nothing on a machine without devices."""
        if self._devices is not None and time.monotonic() - self._sampled_at >= SAMPLE_SECONDS:
            self._add_running()

    def held_memory(self) -> list[MemoryUse]:
        """Return the device memory that they hold now."""
        return [] if self._devices is None else held_by(self._devices.memory_uses(), self._seen)

    @property
    def tool(self) -> str:
        """The command that shows what holds a device."""
        return self._devices.tool if self._devices is not None else ""

    def _add_running(self) -> None:
        found = self._launch.record
        keeper = found["keeper"]["pid"] if self._launch.kept and "keeper" in found else 0
        container = record.container_init(found)
        for process in processes.members(found["launchId"], found.get("server"), container=container, keeper=keeper):
            self._seen.add((process.pid, process.start_time))
        self._sampled_at = time.monotonic()


def stop(launches: list[registry.Launch], state_dir: Path) -> Result:
    """Stop launches, those of several services at the same time. To have nothing to stop is a success.

    The result is the worst of the services' results, with all of them as its `launches` if there are several.
    """
    if not launches:
        return Result("stop", OK, None, record.STOPPED)
    services: dict[tuple[str, int | None], list[registry.Launch]] = {}
    for launch in launches:
        services.setdefault((launch.record["service"], launch.dir.owner), []).append(launch)
    with ThreadPoolExecutor(len(services)) as pool:
        results = list(pool.map(lambda of_service: _stop_as_owner(of_service, state_dir), services.values()))
    results.sort(key=lambda result: result.status, reverse=True)
    return results[0] if len(results) == 1 else results[0]._replace(launches=results)


def _stop_as_owner(launches: list[registry.Launch], state_dir: Path) -> Result:
    """Stop the launches of one service and one user."""
    operation = functools.partial(_stop_service, launches, state_dir)
    return as_owner.result_of([launch.dir for launch in launches], operation)


def _stop_service(launches: list[registry.Launch], state_dir: Path) -> Result:
    service = launches[0].record["service"]
    begun = time.monotonic()
    try:
        with registry.operation_lock(state_dir, service, {"action": "stop"}):
            results = [stop_launch(registry.read_launch(launch.dir)) for launch in launches]
    except OSError as error:
        cause, hint = f"cannot lock {service}: {error.strerror or error}", "check the state directory"
        zh = (f"无法锁定 {service}：{in_chinese(error.strerror or error)}", "检查状态目录")
        return Result("stop", STOP_INCOMPLETE, launches[0].record, cause=cause, hint=hint, zh=zh)
    except registry.BusyError as busy:
        hint = "wait until it has ended, then try again"
        return Result("stop", LOCKED, launches[0].record, cause=str(busy), hint=hint, zh=busy.zh)
    worst = max(results, key=lambda result: result.status)
    return worst._replace(seconds=time.monotonic() - begun)


def stop_launch(launch: registry.Launch) -> Result:
    """Stop one launch, and prove the stop. Root does it as the launch's owner; nobody else stops that of another."""
    return as_owner.result_of([launch.dir], functools.partial(_stop_launch, launch))


def _stop_launch(launch: registry.Launch) -> Result:
    begun = time.monotonic()
    owner = launch.dir.owner
    if owner is not None and not launch.dir.ours:
        name = user_name(owner)
        cause = f"launch {launch.dir.launch_id} belongs to user {name}, who alone (and root) may stop it"
        hint = f"stop it as {name}, or as root"
        zh = (
            f"启动 {launch.dir.launch_id} 属于用户 {name}，只有该用户（和 root）可以停止它",
            f"以 {name} 或 root 的身份停止",
        )
        return Result("stop", STOP_INCOMPLETE, launch.record, launch.state, cause=cause, hint=hint, zh=zh)
    if keeper_process.needs_keeper(launch):
        rescue.rescue(launch.dir)
        launch = registry.read_launch(launch.dir)
    timeout = _stop_timeout(launch)
    seen = SeenProcesses(launch)
    if launch.kept and not _stopped_by_keeper(launch.dir, timeout, seen):
        waiting = launch.dir.read()
        if waiting.get("container", {}).get("problem"):
            return _without_runtime(waiting, time.monotonic() - begun)
        _signal_keeper(launch.dir.read(), signal.SIGKILL)
        keeper_process.wait_for(lambda: not launch.dir.lock_held(), KILLED_SECONDS)
        rescue.replace(launch.dir)
        _stopped_by_keeper(launch.dir, timeout, seen)
    left_container = launch_container.end(launch.dir, timeout)
    _kill_rest(launch.dir.read())
    rescue.end(launch.dir, record.STOPPED, "stopped, but not by its keeper, which did not respond")
    launch = registry.read_launch(launch.dir)
    left, hint, hint_zh = _remains(launch.record), "end it by hand", "手动结束它"
    if left_container:
        left.insert(0, left_container)
    if not left:
        left = _held_memory(seen, begun + timeout)
        hint = f"{seen.tool} shows it; a device that keeps it needs a reset"
        hint_zh = f"{seen.tool} 可以看到；显存一直不释放的设备需要重置"
    seconds = time.monotonic() - begun
    if left:
        cause = "not stopped completely: " + "; ".join(left)
        zh = ("没有完全停止：" + "；".join(left), hint_zh)
        return Result("stop", STOP_INCOMPLETE, launch.record, launch.state, seconds, cause, hint, zh)
    # On a read-only disk the record still has the state from before.
    ended = launch.record["state"] in record.ENDED_STATES
    return Result("stop", OK, launch.record, launch.state if ended else record.STOPPED, seconds)


def _without_runtime(found: Record, seconds: float) -> Result:
    """Return the result of a stop whose keeper goes on asking a container runtime that does not answer."""
    container = found["container"]
    cause = f"not stopped completely: container {container['name']} may still run: {container['problem']}"
    hint = f"start {container['runtime']} again: the keeper then ends the container by itself"
    zh = (
        f"没有完全停止：容器 {container['name']} 可能仍在运行：{container['problem']}",
        f"重新启动 {container['runtime']}：之后 keeper 会自行结束该容器",
    )
    return Result("stop", STOP_INCOMPLETE, found, record.STOPPING, seconds, cause, hint, zh)


def _stop_timeout(launch: registry.Launch) -> float:
    try:
        return plan.read(launch.dir)["stopTimeoutSec"]
    except (OSError, ValueError, KeyError):
        return DEFAULT_STOP_SECONDS


def _stopped_by_keeper(launch: LaunchDir, timeout: float, seen: SeenProcesses) -> bool:
    """Ask a launch's keeper, and every one that replaces it, to stop it; return whether it ended in time."""
    asked: set[int] = set()

    def ended() -> bool:
        if not launch.lock_held():
            return True
        found = launch.read()
        keeper = found.get("keeper")
        if keeper is not None and keeper["pid"] not in asked and _signal_keeper(found, signal.SIGTERM):
            asked.add(keeper["pid"])
        seen.sample()
        return False

    return keeper_process.wait_for(ended, timeout + GRACE_SECONDS)


def _signal_keeper(found: Record, number: signal.Signals) -> bool:
    keeper = found.get("keeper")
    process = read_process(keeper["pid"]) if keeper else None
    if process is None or keeper is None or process.start_time != keeper["startTime"]:
        return False
    try:
        return processes.send(process, number)
    except PermissionError:
        return False


def _kill_rest(found: Record) -> None:
    """Kill the processes that the keeper did not end."""

    def none_left() -> bool:
        left = _members(found)
        for process in left:
            with contextlib.suppress(PermissionError):
                processes.send(process, signal.SIGKILL)
        return not left

    keeper_process.wait_for(none_left, KILLED_SECONDS)


def _members(found: Record) -> list[Process]:
    return processes.members(found["launchId"], found.get("server"), container=record.container_init(found))


def _remains(found: Record) -> list[str]:
    left = [f"pid {process.pid} ({processes.command_line(process.pid)})" for process in _members(found)]
    port = found.get("port")
    if port is None or "server" not in found or left:
        return left
    if not keeper_process.wait_for(lambda: _is_free(found, port), PORT_SECONDS):
        holder = ports.holder(port)
        if holder is not None:
            left.append(holder.describe())
    return left


def _held_memory(seen: SeenProcesses, until: float) -> list[str]:
    """Wait until the processes hold no device memory; return what they still hold. until: monotonic seconds."""
    seconds = max(DEVICE_SECONDS, until - time.monotonic())
    keeper_process.wait_for(lambda: not seen.held_memory(), seconds, every=SAMPLE_SECONDS)
    return [describe(use) for use in seen.held_memory()]


def _is_free(found: Record, port: int) -> bool:
    """Return whether this launch no longer holds the port: a process of another launch may hold it by now."""
    holder = ports.holder(port)
    if holder is None:
        return True
    if holder.pid is None:
        return False
    process = read_process(holder.pid)
    tag = read_environ(holder.pid).get(LAUNCH_TAG.encode())
    return process is None or (tag is not None and tag != found["launchId"].encode()) or holder.pid == os.getpid()
