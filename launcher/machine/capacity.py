"""What a process can run out of, beside memory: space on disks, shared memory, file descriptors."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
FULL_BYTES = 1024 * 1024
"""With less than this free, a file system counts as full: what failed to be written was larger."""
_CACHE_VARIABLES = (
    "TMPDIR",
    "HF_HOME",
    "XDG_CACHE_HOME",
    "VLLM_CACHE_ROOT",
    "TRITON_CACHE_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "SGLANG_CACHE_DIR",
    "MODELSCOPE_CACHE",
    "FLASHINFER_WORKSPACE_BASE",
)
"""Where engines, their compilers and hubs write."""


class FileSystem(NamedTuple):
    """How full the file system of a directory is."""

    path: Path
    free: int
    """Bytes that a process without privileges may write."""
    size: int
    free_files: int | None
    """Files that may be made; None for a file system without such a limit."""

    @property
    def full(self) -> bool:
        """Whether nothing of any size can be written."""
        return self.free < FULL_BYTES or self.free_files == 0


class OpenFiles(NamedTuple):
    """A process's file descriptors."""

    pid: int
    used: int
    limit: int

    @property
    def used_up(self) -> bool:
        """Whether it can open no more, or next to none."""
        return self.used >= self.limit - 2


def written_paths(environ: Mapping[str, str], work_dir: str) -> list[Path]:
    """Return the existing directories that a server with this environment writes to."""
    home = environ.get("HOME", "")
    named = [environ.get(name, "") for name in _CACHE_VARIABLES]
    wanted = [*named, work_dir, "/tmp", f"{home}/.cache" if home else "", home]  # noqa: S108
    return [path for text in dict.fromkeys(wanted) if text and (path := Path(text)).is_dir()]


def file_system(path: Path) -> FileSystem | None:
    """Return how full the file system of a directory is; None if that cannot be read."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    free_files = found.f_favail if found.f_files else None
    return FileSystem(path, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, free_files)


def full_file_systems(paths: Iterable[Path]) -> list[FileSystem]:
    """Return the full ones among the file systems of these directories, each once."""
    found: dict[int, FileSystem] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            device = path.stat().st_dev
            now = file_system(path)
            if device not in found and now is not None and now.size and now.full:
                found[device] = now
    return list(found.values())


def open_files(pid: int) -> OpenFiles | None:
    """Return a process's file descriptors; None if it is gone or may not be looked at."""
    try:
        used = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
        for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
            if line.startswith("Max open files"):
                return OpenFiles(pid, used, int(line.split()[3]))
    except (OSError, ValueError, IndexError):
        return None
    return None
