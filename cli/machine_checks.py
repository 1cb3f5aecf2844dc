"""The checks of `tracetail doctor` of this machine: build, secrets, addresses, disk, limits."""

import ctypes
import errno
import os
import resource
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from tracetail.cli.configuration import Configuration
from tracetail.cli.findings import Finding, ok, problem, warning
from tracetail.cli.options import options
from tracetail.contract.access import UnsafeBindError, check_bind, parse_listen
from tracetail.contract.safe_open import read_file
from tracetail.contract.state import state_dir

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
    """Check that the agent's loops were compiled when tracetail was installed."""
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
    """Check that every configured secret file is readable, not empty, and not readable by everybody."""
    for option in options(Configuration):
        if option.key.endswith(_SECRET_FILES) and option.key not in _NOT_SECRET:
            path = getattr(getattr(settings, option.table), option.key)
            if path:
                yield _secret(f"{option.table}.{option.key}", Path(path))


def _secret(setting: str, path: Path) -> Finding:
    try:
        mode = path.stat().st_mode
        empty = not read_file(path).strip()
    except OSError as error:
        return problem("secrets", f"{setting}: {path} cannot be read: {error.strerror}", f"create {path}, mode 0600")
    if empty:
        return problem("secrets", f"{setting}: {path} is empty", "write the secret into it")
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return warning("secrets", f"{setting}: everybody can read {path}", f"chmod o-rwx {path}")
    return ok("secrets", f"{setting}: {path}")


def check_sources(settings: Configuration) -> Iterator[Finding]:
    """Check that each glob of further files to follow matches one."""
    from tracetail.agent.reading.globs import unmatched

    sources = settings.agent.sources
    empty = unmatched(sources)
    for sentence in empty:
        yield warning("sources", sentence, "correct the glob in [[agent.sources]], or start what writes these files")
    if sources and not empty:
        yield ok("sources", f"each of {len(sources)} globs matches files")


def check_addresses(settings: Configuration) -> Iterator[Finding]:
    """Check that each part may listen on its address, and that no two parts have the same one."""
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
        if table.open and not has_secret:
            yield warning(
                "addresses",
                f"{setting} is {table.listen}, and [{part}] open = true: every program of this machine may use it",
                f"take [{part}] open away: the secret in the state directory then opens it",
            )
            continue
        yield ok("addresses", f"{setting} is {table.listen}{'' if has_secret else ', with the shared secret'}")


def check_disk(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check the free disk space: a keeper whose disk is full has to drop lines."""
    path = state_dir(environ)
    existing = next(directory for directory in (path, *path.parents) if directory.exists())
    yield judge_disk(existing, shutil.disk_usage(existing).free, os.statvfs(existing).f_favail)


def judge_disk(path: Path, free_bytes: int, free_inodes: int) -> Finding:
    """Return the finding for this much free space."""
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
    """Check the limits of inotify, which reports new files at once, and of open files."""
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
    """Add a watch: the limits are per user, so only a try shows what is left of them."""
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
