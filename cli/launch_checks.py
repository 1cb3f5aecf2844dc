"""The checks of `tracetail doctor` of the state directory and its launches."""

import grp
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tracetail.cli.configuration import Configuration
from tracetail.cli.findings import Finding, ok, problem, warning
from tracetail.contract.processes import is_alive
from tracetail.contract.record import ENDED_STATES, LaunchDir, RecordError
from tracetail.contract.state import existing_state_dirs, launches_dir, state_dir


def check_state_dir(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check that launches can be written here, and read by an agent that runs as another user."""
    path = state_dir(environ)
    existing = next(directory for directory in (path, *path.parents) if directory.exists())
    user = pwd.getpwuid(os.geteuid()).pw_name
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield problem(
            "state",
            f"{user} may not write to {existing}, so no launch can begin below {path}",
            f"give {user} the right to write there, or set TRACETAIL_STATE_DIR to a directory of its own",
        )
        return
    if existing != path:
        yield ok("state", f"{path} will be created by the first launch")
        return
    status = path.stat()
    if status.st_mode & stat.S_IWOTH:
        yield warning("state", f"everybody may write to {path}: anyone could forge a launch", f"chmod o-w {path}")
    elif not status.st_mode & stat.S_IRGRP:
        group = grp.getgrgid(status.st_gid).gr_name
        yield warning(
            "state",
            f"group {group} may not read {path}: an agent of another user cannot follow",
            f"chmod g+rx {path}, unless the agent runs as {user}",
        )
    else:
        yield ok("state", f"{path} is writable by {user}")


def check_launches(settings: Configuration, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check that every launch is readable, and has a keeper as long as its server lives."""
    directories = [Path(path) for path in settings.agent.state_dirs] or existing_state_dirs(environ)
    count = 0
    sound = True
    for directory in directories:
        if not os.access(directory, os.R_OK | os.X_OK):
            sound = False
            yield problem(
                "launches", f"{directory} cannot be read", "run the agent as a member of the group that owns it"
            )
            continue
        launches = launches_dir(directory)
        for path in sorted(launches.iterdir()) if launches.is_dir() else ():
            count += 1
            for finding in _launch(LaunchDir(path)):
                sound = False
                yield finding
    if sound:
        where = ", ".join(str(directory) for directory in directories) or "no state directory yet"
        yield ok("launches", f"{count} on record in {where}")


def _launch(launch: LaunchDir) -> Iterator[Finding]:
    try:
        record = launch.read()
    except FileNotFoundError:
        return
    except PermissionError:
        yield problem(
            "launches", f"{launch.record_path} may not be read", "run the agent as a member of the group that owns it"
        )
        return
    except (OSError, RecordError) as error:
        yield problem("launches", str(error), f"repair or remove {launch.path}")
        return
    alive = "server" in record and is_alive(record["server"])
    if alive and not launch.lock_held():
        yield warning(
            "launches",
            f"the server of {launch.launch_id} runs without a keeper",
            f"start the agent, which starts a keeper, or run: tracetail status --model-name {record['modelName']!r}",
        )
    elif not alive and record["state"] not in ENDED_STATES and not launch.lock_held():
        yield warning(
            "launches",
            f"{launch.launch_id} is {record['state']} on record, but nothing of it is alive",
            "tracetail status repairs the record; find out what killed it (did the machine restart?)",
        )
    log = Path(record["logFile"]) if record.get("logFile") else None
    if log is not None and log.exists() and not os.access(log, os.R_OK):
        yield problem("launches", f"{log} may not be read", "run the agent as a member of the group that owns it")


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
            yield warning(
                "survival",
                f"stopping {unit} would end {', '.join(launches)}, which its job has started",
                f"give {unit} the drop-in deploy/systemd/worker.service.d/tracetail.conf (KillMode=process)",
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
