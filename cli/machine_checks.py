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
from tracetail.cli.language import both
from tracetail.cli.options import options
from tracetail.contract.access import UnsafeBindError, check_bind, parse_listen
from tracetail.contract.safe_open import read_file
from tracetail.contract.state import state_dir
from tracetail.contract.system_reasons import in_chinese

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
        yield ok("build", both("the agent's loops are compiled", "agent 的内层循环已编译"))
    else:
        yield warning(
            "build",
            both(
                "the agent's loops run as plain Python: it does the same, in up to half as much time again",
                "agent 的内层循环以纯 Python 运行：结果相同，耗时最多增加一半",
            ),
            both(
                "install a C compiler and Python's headers (gcc, python3-dev), then tracetail again",
                "请安装 C 编译器和 Python 头文件（gcc、python3-dev），然后重新安装 tracetail",
            ),
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
        text = both(f"{path} cannot be read: {error.strerror}", f"无法读取 {path}：{in_chinese(error.strerror)}")
        advice = both(f"create {path}, mode 0600", f"请创建 {path}，权限 0600")
        return problem("secrets", f"{setting}: {text}", advice)
    if empty:
        advice = both("write the secret into it", "请把机密写进去")
        return problem("secrets", both(f"{setting}: {path} is empty", f"{setting}：{path} 是空的"), advice)
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        text = both(f"{setting}: everybody can read {path}", f"{setting}：任何人都能读 {path}")
        return warning("secrets", text, f"chmod o-rwx {path}")
    return ok("secrets", f"{setting}: {path}")


def check_sources(settings: Configuration) -> Iterator[Finding]:
    """Check that each glob of further files to follow matches one."""
    from tracetail.agent.reading.globs import unmatched

    sources = settings.agent.sources
    empty = unmatched(sources)
    for english, chinese in empty:
        advice = "correct the glob in [[agent.sources]], or start what writes these files"
        zh = "请更正 [[agent.sources]] 中的通配符，或启动写这些文件的程序"
        yield warning("sources", both(english, chinese), both(advice, zh))
    if sources and not empty:
        number = len(sources)
        yield ok("sources", both(f"each of {number} globs matches files", f"{number} 个通配符都能匹配到文件"))


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
            advice = f"set {part}.secret_file, or {setting} to 127.0.0.1:{port}"
            zh = f"请设置 {part}.secret_file，或把 {setting} 设为 127.0.0.1:{port}"
            yield problem("addresses", str(error), both(advice, zh))
            continue
        if port and table.listen in seen:
            other, address = seen[table.listen], table.listen
            text = both(f"{other} and {setting} are both {address}", f"{other} 和 {setting} 都是 {address}")
            yield problem("addresses", text, both("change one", "请改掉其中一个"))
            continue
        seen[table.listen] = setting
        if table.open and not has_secret:
            yield warning(
                "addresses",
                both(
                    f"{setting} is {table.listen}, and [{part}] open = true: every program here may use it",
                    f"{setting} 是 {table.listen}，且 [{part}] open = true：本机的任何程序都能访问它",
                ),
                both(
                    f"take [{part}] open away: the secret in the state directory then opens it",
                    f"请去掉 [{part}] open：之后凭状态目录中的机密访问",
                ),
            )
            continue
        shared = "" if has_secret else both(", with the shared secret", "，使用共享机密")
        yield ok("addresses", both(f"{setting} is {table.listen}", f"{setting} 是 {table.listen}") + shared)


def check_disk(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Check the free disk space: a keeper whose disk is full has to drop lines."""
    path = state_dir(environ)
    existing = next(directory for directory in (path, *path.parents) if directory.exists())
    yield judge_disk(existing, shutil.disk_usage(existing).free, os.statvfs(existing).f_favail)


def judge_disk(path: Path, free_bytes: int, free_inodes: int) -> Finding:
    """Return the finding for this much free space."""
    free = f"{free_bytes / GIB:.1f} GiB"
    advice = both(
        "tracetail gc removes what is shipped; or make keepLogs or maxLogMB smaller, or the disk larger",
        "tracetail gc 会删除已上传的内容；也可以调小 keepLogs 或 maxLogMB，或换更大的磁盘",
    )
    if free_bytes < FREE_PROBLEM_BYTES:
        text = both(f"only {free} are free at {path}: lines will be dropped", f"{path} 只剩 {free}：会丢弃日志行")
        return problem("disk", text, advice)
    if free_inodes < INODES_WARNING:
        text = both(f"only {free_inodes} more files fit at {path}", f"{path} 只能再放 {free_inodes} 个文件")
        return warning("disk", text, advice)
    if free_bytes < FREE_WARNING_BYTES:
        return warning("disk", both(f"{free} are free at {path}", f"{path} 剩余 {free}"), advice)
    return ok("disk", both(f"{free} are free at {path}", f"{path} 剩余 {free}"))


def check_limits(proc: Path = Path("/proc")) -> Iterator[Finding]:
    """Check the limits of inotify, which reports new files at once, and of open files."""
    yield _inotify()
    watches = int((proc / "sys/fs/inotify/max_user_watches").read_text(encoding="ascii"))
    if watches < WATCHES_WANTED:
        yield warning(
            "limits",
            both(
                f"only {watches} directories can be watched by a user's programs together",
                f"一个用户的所有程序总共只能监视 {watches} 个目录",
            ),
            "echo fs.inotify.max_user_watches=65536 > /etc/sysctl.d/90-tracetail.conf && sysctl --system",
        )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < OPEN_FILES_WANTED:
        command = f"ulimit -n {min(hard, 65536) if hard > 0 else 65536}"
        yield warning(
            "limits",
            both(f"a process may open {soft} files", f"一个进程只能打开 {soft} 个文件"),
            both(f"{command}, or LimitNOFILE=65536 in the unit", f"{command}，或在 unit 中设置 LimitNOFILE=65536"),
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
    return ok("limits", both("directories can be watched", "可以监视目录"))


def _inotify_refused(number: int) -> Finding:
    limit = {errno.EMFILE: "max_user_instances=1024", errno.ENOSPC: "max_user_watches=65536"}.get(number)
    raising = f"echo fs.inotify.{limit} > /etc/sysctl.d/90-tracetail.conf && sysctl --system"
    reason = os.strerror(number)
    text = both(
        f"no directory can be watched ({reason}): new files are seen late",
        f"无法监视目录（{in_chinese(reason)}）：新文件会很晚才被发现",
    )
    return problem("limits", text, raising if limit else both("see dmesg", "请查看 dmesg"))
