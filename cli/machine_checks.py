"""The checks of `tracetail doctor` that look at this machine: settings, directories, limits, disk, launches."""

import ctypes
import errno
import grp
import os
import pwd
import resource
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tracetail.cli.configuration import Configuration, options
from tracetail.cli.findings import Finding, ok, problem, warning
from tracetail.contract.access import UnsafeBindError, check_bind, parse_listen
from tracetail.contract.record import ENDED_STATES, LaunchDir, RecordError, is_alive
from tracetail.contract.state import existing_state_dirs, launches_dir, state_dir

GIB = 1 << 30
FREE_WARNING_BYTES = 10 * GIB
FREE_PROBLEM_BYTES = GIB
INODES_WARNING = 10_000
OPEN_FILES_WANTED = 4096
WATCHES_WANTED = 8192
"""One directory per model, engine and environment, and those of configured globs; other programs watch too."""

_SECRET_FILES = ("password_file", "token_file", "secret_file", "key_file")
_NOT_SECRET = ("public_key_file",)


def check_build() -> Iterator[Finding]:
    """Say whether the agent's loops were compiled when tracetail was installed."""
    from tracetail.agent.parsing import scan
    from tracetail.loki import entries

    if scan.COMPILED and entries.COMPILED:
        yield ok("build", "the agent's loops are compiled")
    else:
        yield warning(
            "build",
            "the agent's loops run as plain Python: it does the same, in up to half as much time again",
            "install a C compiler and Python's headers (gcc, python3-dev), then tracetail again",
        )


def check_secrets(settings: Configuration) -> Iterator[Finding]:
    """Look at every file with a secret: there, readable, and by nobody else."""
    for option in options():
        if option.key.endswith(_SECRET_FILES) and option.key not in _NOT_SECRET:
            path = getattr(getattr(settings, option.table), option.key)
            if path:
                yield _secret(f"{option.table}.{option.key}", Path(path))


def _secret(setting: str, path: Path) -> Finding:
    try:
        mode = path.stat().st_mode
        empty = not path.read_bytes().strip()
    except OSError as error:
        return problem("secrets", f"{setting}: {path} cannot be read: {error.strerror}", f"create {path}, mode 0600")
    if empty:
        return problem("secrets", f"{setting}: {path} is empty", "write the secret into it")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return warning("secrets", f"{setting}: everybody can read {path}", f"chmod o-rwx {path}")
    return ok("secrets", f"{setting}: {path}")


def check_addresses(settings: Configuration) -> Iterator[Finding]:
    """Look for an address that a part would refuse to listen on, and for one that two are to share."""
    seen: dict[str, str] = {}
    for part in ("store", "agent", "panel"):
        table = getattr(settings, part)
        setting = f"{part}.listen"
        has_secret = bool(table.secret_file or getattr(table, "public_key_file", ""))
        try:
            host, port = parse_listen(setting, table.listen)
            check_bind(f"the {part}", host, has_secret=has_secret, secret_setting=f"{part}.secret_file")
        except UnsafeBindError as error:
            yield problem("addresses", str(error), f"set {part}.secret_file, or {setting} to 127.0.0.1:{port}")
            continue
        if port and table.listen in seen:
            yield problem("addresses", f"{seen[table.listen]} and {setting} are both {table.listen}", "change one")
            continue
        seen[table.listen] = setting
        yield ok("addresses", f"{setting} is {table.listen}{'' if has_secret else ', for this machine alone'}")


def check_state_dir(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look whether launches can be written here, and read by an agent of another user."""
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
    """Look at every launch that the agent follows: readable, and kept as long as its server lives."""
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
            f"start the agent, which calls one, or run: tracetail status --model-name {record['modelName']!r}",
        )
    elif not alive and record["state"] not in ENDED_STATES and not launch.lock_held():
        yield warning(
            "launches",
            f"{launch.launch_id} is {record['state']} on record, but nothing of it is alive",
            "tracetail status repairs the record; look for what killed it (the machine restarted?)",
        )
    log = Path(record["logFile"]) if record.get("logFile") else None
    if log is not None and log.exists() and not os.access(log, os.R_OK):
        yield problem("launches", f"{log} may not be read", "run the agent as a member of the group that owns it")


def check_survival(
    settings: Configuration, environ: Mapping[str, str], proc: Path = Path("/proc")
) -> Iterator[Finding]:
    """Look for servers that systemd would end together with the unit whose job has started them."""
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
    """Return the service in whose control group a process is; None for a scope, a session, or no systemd."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    # cgroups(7): `0::/path` with cgroup v2, `N:name=systemd:/path` before.
    paths = [line.split(":", 2)[2] for line in lines if line.startswith("0::") or ":name=systemd:" in line]
    last = [path.rpartition("/")[2] for path in paths]
    return next((name for name in last if name.endswith(".service")), None)


def _kill_mode(unit: str) -> str | None:
    """Return what systemd does with what is left in a unit that is stopped; None if it cannot be asked."""
    if shutil.which("systemctl") is None:
        return None
    run = subprocess.run(
        ["systemctl", "show", "--property=KillMode", "--value", unit], capture_output=True, text=True, check=False
    )
    return run.stdout.strip() or None


def check_disk(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the room for logs: a keeper whose disk is full has to drop lines."""
    path = state_dir(environ)
    existing = next(directory for directory in (path, *path.parents) if directory.exists())
    yield judge_disk(existing, shutil.disk_usage(existing).free, os.statvfs(existing).f_favail)


def judge_disk(path: Path, free_bytes: int, free_inodes: int) -> Finding:
    """Return the finding about this much room."""
    free = f"{free_bytes / GIB:.1f} GiB"
    advice = "tracetail gc removes what is shipped; or make keepLogs or maxLogMB smaller, or the disk larger"
    if free_bytes < FREE_PROBLEM_BYTES:
        return problem("disk", f"only {free} are free at {path}: lines will be dropped", advice)
    if free_inodes < INODES_WARNING:
        return warning("disk", f"only {free_inodes} more files fit at {path}", advice)
    if free_bytes < FREE_WARNING_BYTES:
        return warning("disk", f"{free} are free at {path}", advice)
    return ok("disk", f"{free} are free at {path}")


def check_limits(proc: Path = Path("/proc")) -> Iterator[Finding]:
    """Look at inotify, by which new files are noticed at once, and at open files."""
    yield _inotify()
    watches = int((proc / "sys/fs/inotify/max_user_watches").read_text(encoding="ascii"))
    if watches < WATCHES_WANTED:
        yield warning(
            "limits",
            f"only {watches} directories can be watched by a user's programs together",
            "echo fs.inotify.max_user_watches=65536 > /etc/sysctl.d/90-tracetail.conf && sysctl --system",
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < OPEN_FILES_WANTED:
        yield warning(
            "limits",
            f"a process may open {soft} files",
            f"ulimit -n {min(hard, 65536) if hard > 0 else 65536}, or LimitNOFILE=65536 in the unit",
        )


def _inotify() -> Finding:
    """Try it, since what counts is what this user's programs have left of the limits."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        return _inotify_refused(ctypes.get_errno())
    try:
        if libc.inotify_add_watch(descriptor, b"/", 0x100) < 0:  # IN_CREATE
            return _inotify_refused(ctypes.get_errno())
    finally:
        os.close(descriptor)
    return ok("limits", "directories can be watched")


def _inotify_refused(number: int) -> Finding:
    limit = {errno.EMFILE: "max_user_instances=1024", errno.ENOSPC: "max_user_watches=65536"}.get(number)
    advice = f"echo fs.inotify.{limit} > /etc/sysctl.d/90-tracetail.conf && sysctl --system" if limit else "see dmesg"
    return problem("limits", f"no directory can be watched ({os.strerror(number)}): new files are seen late", advice)
