"""Facts that explain why a server ended although no line of its log says so: their codes and texts.

The diagnosis takes them beside the lines of the log. Codes are those of the known causes (docs/causes.md).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

OUT_OF_MEMORY = "out_of_memory"
SHARED_MEMORY_FULL = "shared_memory_full"
DISK_FULL = "disk_full"
FILE_DESCRIPTORS = "file_descriptors_exhausted"
_CLIENT_PREFIX = re.compile(
    r"(?:docker: )?(?:Error response from daemon: |Error: )(?:OCI runtime error: )?"
    r"(?:unable to start container [0-9a-f]{64}: )?"
)
"""How docker and podman begin an error."""


class EndFact(NamedTuple):
    """Something that was observed at the machine. Texts: (English, Chinese)."""

    code: str
    cause: tuple[str, str]
    hint: tuple[str, str]
    evidence: Sequence[str] = ()
    certain: bool = False
    """It hit a process of the launch; otherwise it only explains an end for which the log has no reason."""
    names_who: bool = False
    """It says who ended the server: that the server got a signal, or says so, is no other reason."""


_MEMORY_HINT = (
    "raise the memory limit (of the container, MemoryMax= of a service), or need less; end what else uses memory",
    "提高内存上限（容器的，或服务的 MemoryMax=），或减少内存占用；结束其他占用内存的程序",
)
_SHARED_MEMORY_HINT = (
    "enlarge it (docker run --shm-size=16g or --ipc=host), and remove what old servers left in it",
    "扩大它（docker run --shm-size=16g 或 --ipc=host），并清理旧服务残留的文件",
)
_DISK_HINT = (
    "free space there, or name another disk in `environ`: TMPDIR, HF_HOME, XDG_CACHE_HOME",
    "清理该磁盘，或在 `environ` 中把 TMPDIR、HF_HOME、XDG_CACHE_HOME 指向其他磁盘",
)
_FILES_HINT = (
    "raise the limit of what starts it: ulimit -n 65535, LimitNOFILE= of a service",
    "提高启动方的上限：ulimit -n 65535，或服务的 LimitNOFILE=",
)


def killed_for_memory(
    pid: int | None, name: str, resident_mib: int | None, limit_mib: int | None, *, by_limit: bool, line: str
) -> EndFact:
    """Return that the kernel's OOM killer ended a process.

    Args:
        pid: which; None if that is not known.
        name: its name.
        resident_mib: what it held.
        limit_mib: the limit of its control group.
        by_limit: that limit was reached, not the end of the machine's memory.
        line: the kernel's line about it, "" if it could not be read.

    """
    who = ("a process of the launch", "该启动的一个进程")
    if pid is not None:
        held = "" if resident_mib is None else f", which held {resident_mib} MiB"
        held_zh = "" if resident_mib is None else f"，占用 {resident_mib} MiB"
        who = (f"process {pid} ({name}){held}", f"进程 {pid}（{name}{held_zh}）")
    why = ("the machine's memory was used up", "机器内存耗尽")
    if by_limit:
        limit = "" if limit_mib is None else f" of {limit_mib} MiB"
        why = (f"its control group reached the memory limit{limit}", f"所在 cgroup 达到内存上限{limit[3:]}")
    return EndFact(
        OUT_OF_MEMORY,
        (f"the kernel's OOM killer ended {who[0]}: {why[0]}", f"内核 OOM killer 结束了{who[1]}：{why[1]}"),
        _MEMORY_HINT,
        [line] if line else (),
        certain=True,
    )


def container_out_of_memory(name: str) -> EndFact:
    """Return that a container reached its memory limit. name: of the container."""
    return EndFact(
        OUT_OF_MEMORY,
        (
            f"the kernel's OOM killer ended a process of container {name}: it reached its memory limit",
            f"内核 OOM killer 结束了容器 {name} 的一个进程：容器达到内存上限",
        ),
        ("raise --memory in container.args, or need less", "增大 container.args 中的 --memory，或减少内存占用"),
        certain=True,
    )


def container_removed(runtime: str) -> EndFact:
    """Return that somebody removed the container while its server ran."""
    return EndFact(
        "container_removed",
        (f"the container was removed by somebody else ({runtime} rm)", f"容器被他人删除（{runtime} rm）"),
        ("stop it with tracetail stop", "请用 tracetail stop 停止它"),
        certain=True,
        names_who=True,
    )


def container_not_started(said: str) -> EndFact:
    """Return that a container never ran. said: the client's error."""
    why = _CLIENT_PREFIX.sub("", said)
    return EndFact(
        "container_not_started",
        (f"the container cannot be made or started: {why}", f"无法创建或启动容器：{why}"),
        (
            "check container.args, container.network and container.mounts",
            "检查 container.args、container.network 和 container.mounts",
        ),
        certain=True,
    )


def container_runtime_restarted(runtime: str, seconds: float) -> EndFact:
    """Return that the runtime did not answer as the server ended. seconds: for how long."""
    return EndFact(
        "container_runtime_restarted",
        (
            f"{runtime} was ended or restarted while the server ran: it did not answer for {seconds:.0f} s",
            f"服务运行期间 {runtime} 被停止或重启：它有 {seconds:.0f} 秒没有响应",
        ),
        (
            f"start it again once {runtime} is up; restart: on-crash does so",
            "待其恢复后重新启动；restart: on-crash 可自动完成",
        ),
        certain=True,
    )


def container_client_ended(runtime: str) -> EndFact:
    """Return that the runtime's client ended before the container."""
    return EndFact(
        "container_client_ended",
        (
            f"the client ({runtime} start) was ended while its container ran; the container was stopped",
            f"客户端（{runtime} start）在容器运行期间被终止；容器已被停止",
        ),
        (
            f"somebody killed it, restarted the container, or {runtime} closed its connection: see its log",
            f"有人终止了它、重启了容器，或 {runtime} 关闭了连接：请查看其日志",
        ),
        certain=True,
    )


def shared_memory_full(path: str, size_mib: int) -> EndFact:
    """Return that shared memory is too small."""
    return EndFact(
        SHARED_MEMORY_FULL,
        (f"{path} is full: it has {size_mib} MiB", f"{path} 已满：共 {size_mib} MiB"),
        _SHARED_MEMORY_HINT,
    )


def disk_full(path: str, *, no_files: bool) -> EndFact:
    """Return that the disk of a directory is full. no_files: no more files can be made on it."""
    what = ("can hold no more files", "的文件数已用尽") if no_files else ("is full", "已满")
    return EndFact(DISK_FULL, (f"the disk of {path} {what[0]}", f"{path} 所在磁盘{what[1]}"), _DISK_HINT)


def file_descriptors_used_up(pid: int, name: str, limit: int) -> EndFact:
    """Return that a process has used up its file descriptors."""
    return EndFact(
        FILE_DESCRIPTORS,
        (
            f"process {pid} ({name}) has used up its {limit} file descriptors",
            f"进程 {pid}（{name}）的 {limit} 个文件描述符已用尽",
        ),
        _FILES_HINT,
    )
