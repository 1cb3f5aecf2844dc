"""The keeper: the small process that stays with one launch, owns its output and records its end.

    python -I -m tracetail.launcher.keeper.main <launchDir> N       starts the server; descriptor N is the lock
    python -I -m tracetail.launcher.keeper.main <launchDir> adopt   takes over from a keeper that died

It imports the standard library, `contract` (without redaction) and modules of `launcher` that do the same.
"""

import os
import sys
from pathlib import Path

from tracetail.contract import record
from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.launcher import plan
from tracetail.launcher.keeper.keeper import Keeper


def main() -> int:
    """Keep the launch whose directory is named."""
    launch = LaunchDir(Path(sys.argv[1]))
    if sys.argv[2] == plan.ADOPT:
        lock = LaunchLock(launch)
        # Otherwise another keeper has it already, or had it until its end.
        if lock.acquire() and launch.read()["state"] not in record.ENDED_STATES:
            Keeper(launch, lock).adopt()
    else:
        descriptor = int(sys.argv[2])
        os.set_inheritable(descriptor, False)
        Keeper(launch, LaunchLock(launch, descriptor)).start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
