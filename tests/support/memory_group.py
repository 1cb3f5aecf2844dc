"""A memory control group with a limit, where the test may make one: v2, or v1."""

import contextlib
import time
from pathlib import Path

import pytest

from tracetail.launcher.machine.oom import MemoryGroup


@contextlib.contextmanager
def memory_group(mebibytes):
    """Make a control group; yield its directory."""
    own = MemoryGroup.of("self")
    root = Path("/sys/fs/cgroup")
    parents = [own.directory] if own is not None else [root]
    for parent in parents:
        path = parent / f"tracetail-test-{time.monotonic_ns()}"
        try:
            path.mkdir()
            limit = path / "memory.limit_in_bytes"
            (limit if limit.exists() else path / "memory.max").write_text(str(mebibytes << 20))
        except OSError as error:
            with contextlib.suppress(OSError):
                path.rmdir()
            pytest.skip(f"may not make a control group with a memory limit here: {error}")
        with contextlib.suppress(OSError):
            (path / "memory.swap.max").write_text("0")
        try:
            yield path
        finally:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    path.rmdir()
                    break
                time.sleep(0.05)
