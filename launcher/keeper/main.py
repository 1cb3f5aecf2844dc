"""The keeper: the small process that stays with one launch, owns its output and records its end.

    python -I -m tracetail.launcher.keeper.main <launchDir> N              starts the server; N: the held lock
    python -I -m tracetail.launcher.keeper.main <launchDir> N foreground   the same, as main process of a container
    python -I -m tracetail.launcher.keeper.main <launchDir> adopt          takes over from a keeper that died

It imports the standard library, `contract` (without redaction) and modules of `launcher` that do the same.
"""

import contextlib
import ctypes
import gc
import os
import sys
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""malloc.h of glibc."""
_BLOCKS_KEPT_BYTES = 4 * 1024 * 1024
"""More than a block of lines takes, short ones too: to give it back and get it again took half of a flood's time."""


def _tune_malloc() -> None:
    """Keep small, with one arena: the threads are few. The server, which has many, would inherit a variable.

    And keep what a block of lines needs. By itself, malloc learns of its size from what is freed in which order.
    """
    with contextlib.suppress(AttributeError):  # musl has no mallopt
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _BLOCKS_KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _BLOCKS_KEPT_BYTES)


def main() -> int:
    """Keep the launch whose directory is named."""
    _tune_malloc()
    # Modules are objects that stay. They are looked through once the server runs, by the keeper's loop.
    gc.disable()
    from tracetail.contract import record  # noqa: PLC0415
    from tracetail.contract.record import LaunchDir, LaunchLock  # noqa: PLC0415
    from tracetail.launcher import plan  # noqa: PLC0415
    from tracetail.launcher.keeper.keeper import Keeper  # noqa: PLC0415

    launch = LaunchDir(Path(sys.argv[1]))
    if sys.argv[2] == plan.ADOPT:
        lock = LaunchLock(launch)
        # Otherwise another keeper has it already, or had it until its end.
        if lock.acquire() and launch.read()["state"] not in record.ENDED_STATES:
            Keeper(launch, lock).adopt()
    else:
        descriptor = int(sys.argv[2])
        os.set_inheritable(descriptor, False)
        lock = LaunchLock(launch, descriptor)
        if sys.argv[3:] == [plan.FOREGROUND]:
            from tracetail.launcher.keeper.foreground import Foreground  # noqa: PLC0415  (only in a container)

            settings = plan.read(launch)["foreground"]
            foreground = Foreground(
                settings["terminationLog"],
                stdout_only=settings["stdoutOnly"],
                plain_stdout=settings["plainStdout"],
            )
            return Keeper(launch, lock, foreground).start()
        Keeper(launch, lock).start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
