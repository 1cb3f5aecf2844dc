"""The checks of `tracetail doctor` of the state directory and its launches."""

import contextlib
import grp
import json
import os
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tracetail.cli.configuration import Configuration
from tracetail.cli.findings import Finding, ok, problem, warning
from tracetail.cli.language import both
from tracetail.cli.words import state_word
from tracetail.contract import outbox
from tracetail.contract.owned_files import read_owned
from tracetail.contract.processes import is_alive
from tracetail.contract.record import ENDED_STATES, LaunchDir, RecordError
from tracetail.contract.state import existing_state_dirs, launches_dir, state_dir

_CALLBACK_SECONDS = 15.0
"""How old an undelivered callback has to be: the keeper's helper tries for 10 s."""


def _run_as_member() -> str:
    return both("run the agent as a member of the group that owns it", "请让 agent 的用户加入它所属的用户组")


def check_state_dir(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check that launches can be written here, and read by an agent that runs as another user."""
    path = state_dir(environ)
    existing = next(directory for directory in (path, *path.parents) if directory.exists())
    user = pwd.getpwuid(os.geteuid()).pw_name
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield problem(
            "state",
            both(
                f"{user} may not write to {existing}, so no launch can begin below {path}",
                f"{user} 对 {existing} 没有写权限，因此无法在 {path} 下启动服务",
            ),
            both(
                f"give {user} the right to write there, or set TRACETAIL_STATE_DIR to a directory of its own",
                f"请给 {user} 写权限，或者把 TRACETAIL_STATE_DIR 设为它自己的目录",
            ),
        )
        return
    if existing != path:
        yield ok("state", both(f"{path} will be created by the first launch", f"{path} 会在第一次启动时创建"))
        return
    status = path.stat()
    if status.st_mode & stat.S_IWOTH:
        english = f"everybody may write to {path}: anyone could forge a launch"
        yield warning("state", both(english, f"任何人都能写 {path}：谁都可以伪造启动"), f"chmod o-w {path}")
    elif not status.st_mode & stat.S_IRGRP:
        group = grp.getgrgid(status.st_gid).gr_name
        yield warning(
            "state",
            both(
                f"group {group} may not read {path}: an agent of another user cannot follow",
                f"用户组 {group} 不能读 {path}：以其他用户运行的 agent 无法跟踪",
            ),
            both(
                f"chmod g+rx {path}, unless the agent runs as {user}",
                f"chmod g+rx {path}；如果 agent 以 {user} 运行则不必",
            ),
        )
    else:
        yield ok("state", both(f"{path} is writable by {user}", f"{user} 可以写 {path}"))


def check_launches(settings: Configuration, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check that every launch is readable, and has a keeper as long as its server lives."""
    directories = [Path(path) for path in settings.agent.state_dirs] or existing_state_dirs(environ)
    count = 0
    sound = True
    for directory in directories:
        if not os.access(directory, os.R_OK | os.X_OK):
            sound = False
            yield problem("launches", both(f"{directory} cannot be read", f"无法读取 {directory}"), _run_as_member())
            continue
        launches = launches_dir(directory)
        for path in sorted(launches.iterdir()) if launches.is_dir() else ():
            count += 1
            for finding in _launch(LaunchDir(path)):
                sound = False
                yield finding
    if sound:
        none = both("no state directory yet", "还没有状态目录")
        where = ", ".join(str(directory) for directory in directories) or none
        yield ok("launches", both(f"{count} on record in {where}", f"{where} 中有 {count} 个"))


def _launch(launch: LaunchDir) -> Iterator[Finding]:
    try:
        record = launch.read()
    except FileNotFoundError:
        return
    except PermissionError:
        yield problem(
            "launches",
            both(f"{launch.record_path} may not be read", f"没有读取 {launch.record_path} 的权限"),
            _run_as_member(),
        )
        return
    except (OSError, RecordError) as error:
        yield problem("launches", str(error), both(f"repair or remove {launch.path}", f"请修复或删除 {launch.path}"))
        return
    alive = "server" in record and is_alive(record["server"])
    status = f"tracetail status --model-name {record['modelName']!r}"
    if alive and not launch.lock_held():
        yield warning(
            "launches",
            both(
                f"the server of {launch.launch_id} runs without a keeper",
                f"{launch.launch_id} 的服务在运行，但没有守护进程",
            ),
            both(
                f"start the agent, which starts a keeper, or run: {status}",
                f"请启动 agent（它会补上守护进程），或运行：{status}",
            ),
        )
    elif not alive and record["state"] not in ENDED_STATES and not launch.lock_held():
        yield warning(
            "launches",
            both(
                f"{launch.launch_id} is {record['state']} on record, but nothing of it is alive",
                f"{launch.launch_id} 的记录为“{state_word(record['state'])}”，但它的进程都已不在",
            ),
            both(
                "tracetail status repairs the record; find out what killed it (did the machine restart?)",
                "tracetail status 会修正记录；请查明它为何被杀（机器重启过吗？）",
            ),
        )
    log = Path(record["logFile"]) if record.get("logFile") else None
    if log is not None and log.exists() and not os.access(log, os.R_OK):
        yield problem("launches", both(f"{log} may not be read", f"没有读取 {log} 的权限"), _run_as_member())


def check_callbacks(
    settings: Configuration, environ: Mapping[str, str], now: float | None = None
) -> Iterator[Finding]:
    """Check that no callback of this user waits for a receiver that does not accept it.

    now: seconds since the epoch.
    """
    now = time.time() if now is None else now
    waiting: dict[str, list[float]] = {}
    for directory in [Path(path) for path in settings.agent.state_dirs] or existing_state_dirs(environ):
        for path in sorted(launches_dir(directory).glob("*/outbox")):
            for receiver, created_at in _undelivered(path):
                if now - created_at >= _CALLBACK_SECONDS:
                    waiting.setdefault(receiver, []).append(created_at)
    for receiver, times in waiting.items():
        count, minutes = len(times), int((now - min(times)) // 60)
        yield warning(
            "callbacks",
            both(
                f"{count} wait for {receiver}, which has not accepted them, the oldest for {minutes} min",
                f"{count} 个在等待 {receiver} 接收，最早的已等了 {minutes} 分钟",
            ),
            both(
                "the agent tries again for a day, and logs what it answers; tracetail notify tries now",
                "它的应答见 agent 的日志，agent 会重试一天；tracetail notify 可立即再试",
            ),
        )


def _undelivered(directory: Path) -> Iterator[tuple[str, float]]:
    """Yield receiver, without password and query, and time of each callback in an outbox."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        for path in outbox.pending(directory):
            found = json.loads(read_owned(path.parent, path.name, ours=True))
            parts = urlsplit(found["url"])
            receiver = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
            yield receiver, float(found["createdAt"])


def check_survival(
    settings: Configuration, environ: Mapping[str, str], proc: Path = Path("/proc")
) -> Iterator[Finding]:
    """Check that systemd does not end servers together with the unit whose job has started them."""
    held: dict[str, list[str]] = {}
    for directory in [Path(path) for path in settings.agent.state_dirs] or existing_state_dirs(environ):
        for path in sorted(launches_dir(directory).glob("*/")):
            try:
                record = LaunchDir(path).read()
            except (OSError, RecordError):
                continue
            keeper = record.get("keeper")
            if keeper is not None and is_alive(keeper) and (unit := _unit_of(keeper["pid"], proc)):
                held.setdefault(unit, []).append(record["launchId"])
    for unit, launches in held.items():
        if _kill_mode(unit) in ("control-group", "mixed"):
            named, drop_in = ", ".join(launches), "deploy/systemd/worker.service.d/tracetail.conf"
            yield warning(
                "survival",
                both(
                    f"stopping {unit} would end {named}, which its job has started",
                    f"停止 {unit} 会一并结束由它的任务启动的 {named}",
                ),
                both(
                    f"give {unit} the drop-in {drop_in} (KillMode=process)",
                    f"请给 {unit} 加上 drop-in {drop_in}（KillMode=process）",
                ),
            )


def _unit_of(pid: int, proc: Path) -> str | None:
    """Return the systemd service whose control group a process is in; None if there is none."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    # cgroups(7): `0::/path` with cgroup v2, `N:name=systemd:/path` before.
    paths = [line.split(":", 2)[2] for line in lines if line.startswith("0::") or ":name=systemd:" in line]
    last = [path.rpartition("/")[2] for path in paths]
    return next((name for name in last if name.endswith(".service")), None)


def _kill_mode(unit: str) -> str | None:
    """Return the unit's KillMode; None without systemctl."""
    if shutil.which("systemctl") is None:
        return None
    run = subprocess.run(
        ["systemctl", "show", "--property=KillMode", "--value", unit], capture_output=True, text=True, check=False
    )
    return run.stdout.strip() or None
