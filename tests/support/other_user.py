"""Runs commands as another user of this machine, for tests that need two. Only root can.

The interpreter and the checkout may lie below a directory that only root may enter (a version manager in /root): the
command runs in a mount namespace in which that directory holds nothing but them, and is open.
"""

import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

import tracetail

NOBODY = pwd.getpwnam("nobody")
_MODULES = Path(tracetail.__file__).resolve().parent.parent

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run commands as another user")


@contextmanager
def shared_directory() -> Iterator[Path]:
    """A directory that every user can reach, unlike pytest's own."""
    path = Path(tempfile.mkdtemp(prefix="tracetail-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def run_as(
    user: pwd.struct_passwd, *command: str, environ: Mapping[str, str], groups: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user and return what it printed. groups: further groups, separated by commas."""
    joined = ["--groups", groups] if groups else ["--clear-groups"]
    drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", *joined, "--", *command]
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _opened() + "exec " + shlex.join(drop)],
        env={**os.environ, "HOME": "/nonexistent", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_tracetail_as(
    user: pwd.struct_passwd, *args: str, environ: Mapping[str, str], groups: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `tracetail` with args as a user and return what it printed."""
    return run_as(user, sys.executable, "-m", "tracetail", *args, environ=environ, groups=groups)


def _opened() -> str:
    """Return the shell commands that make the interpreter and the checkout reachable for every user."""
    wanted = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, _MODULES)}
    closed = {top for path in wanted for top in path.parents if not top.stat().st_mode & 0o001}
    outermost = {top for top in closed if not closed & set(top.parents)}
    lines = ["kept=$(mktemp -d)"]
    for top in sorted(outermost):
        inside = sorted(path for path in wanted if top in path.parents)
        for number, path in enumerate(inside):
            lines.append(f"mkdir $kept/{number}; mount --bind {shlex.quote(str(path))} $kept/{number}")
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(top))}")
        for number, path in enumerate(inside):
            quoted = shlex.quote(str(path))
            lines.append(f"mkdir -p {quoted}; mount --bind $kept/{number} {quoted}; umount $kept/{number}")
        lines.append("rmdir $kept/*")
    lines.append("rmdir $kept")
    return "\n".join(lines) + "\n"
