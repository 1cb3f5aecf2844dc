"""The directories in which tracetail keeps its state."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

STATE_DIR_VARIABLE = "TRACETAIL_STATE_DIR"
SYSTEM_STATE_DIR = Path("/var/lib/tracetail")
DIRECTORY_MODE = 0o750
"""Group-readable, so that an agent of another user in the group can follow."""


def user_state_dir(environ: Mapping[str, str]) -> Path:
    """Return the state directory of one user: `~/.local/state/tracetail`."""
    home = environ.get("HOME") or os.path.expanduser("~")  # noqa: PTH111  (environ is an argument)
    return Path(home) / ".local" / "state" / "tracetail"


def state_dir(environ: Mapping[str, str]) -> Path:
    """Return the directory to write to: $TRACETAIL_STATE_DIR, else the system's if writable, else the user's."""
    named = environ.get(STATE_DIR_VARIABLE)
    if named:
        return Path(named).absolute()
    if os.access(SYSTEM_STATE_DIR, os.W_OK | os.X_OK):
        return SYSTEM_STATE_DIR
    return user_state_dir(environ)


def existing_state_dirs(environ: Mapping[str, str]) -> list[Path]:
    """Return the state directories that exist, for reading: the one to write to, the system's, the user's."""
    candidates = [state_dir(environ), SYSTEM_STATE_DIR, user_state_dir(environ)]
    return [path for path in dict.fromkeys(candidates) if path.is_dir()]


def make_directory(path: Path) -> None:
    """Make a directory, and those above it, if it does not exist: mode 0750 whatever the umask. Raises OSError."""
    try:
        path.mkdir(mode=DIRECTORY_MODE)
    except FileNotFoundError:
        if path.parent.is_dir():  # /proc takes none
            raise
        make_directory(path.parent)
        make_directory(path)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        set_directory_mode(path)


def set_directory_mode(path: Path) -> None:
    """Give a new directory its mode, whatever the umask; a setgid bit that it has inherited stays."""
    path.chmod(DIRECTORY_MODE | path.stat().st_mode & stat.S_ISGID)


def launches_dir(state: Path) -> Path:
    """Return the directory that holds one directory per launch."""
    return state / "launches"
