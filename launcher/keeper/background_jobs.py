"""The keeper's own child processes: what takes long, or more memory than the keeper may have, runs in them."""

import os
import subprocess
import sys

from tracetail.contract.process_tag import KEEPER_TAG
from tracetail.contract.record import LaunchDir
from tracetail.launcher.keeper.keeper_log import report
from tracetail.launcher.keeper.stop_request import StopRequest

CALLBACKS = "tracetail.launcher.callbacks"
CRASH_RESTART = "tracetail.launcher.operations.crash_restart"


class BackgroundJobs:
    """Starts the background jobs of one keeper. They may outlive it, and do not belong to the launch."""

    def __init__(self, launch: LaunchDir) -> None:
        self._launch = launch
        self.pids: set[int] = set()
        """Those that have not been reaped."""

    def send_callback(self, event: str) -> None:
        """Report an event to the launch's callbackUrl."""
        self._run(CALLBACKS, event)

    def restart(self, launch_id: str) -> None:
        """Start the launch's service again, as the launch with this id."""
        self._run(CRASH_RESTART, launch_id)

    def _run(self, module: str, argument: str) -> None:
        try:
            with StopRequest.unblocked():
                child = subprocess.Popen(
                    [sys.executable, "-I", "-m", module, str(self._launch.path), argument],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=os.environ | {KEEPER_TAG: self._launch.launch_id},
                    start_new_session=True,
                )
        except OSError as error:
            report(f"cannot start {module}: {error}")
            return
        child.returncode = 0  # the keeper reaps it; Popen must not
        self.pids.add(child.pid)
