"""Gives a launch whose keeper is gone a new one, and starts keepers in general."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from contract.record import LaunchDir, LaunchLock, is_alive
from launcher import processes, registry

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.02


def needs_keeper(launch: registry.Launch) -> bool:
    """Say whether a launch's record promises a keeper that is not there."""
    return not launch.kept and launch.record["state"] in registry.LIVE_STATES


def adopt(launch: LaunchDir) -> bool:
    """Start a keeper that goes on with a launch; True as soon as there is one, or the launch has ended."""
    spawn_keeper(launch, None)
    return wait_for(lambda: launch.lock_held() or not needs_keeper(registry.look(launch)), WAIT_SECONDS)


def settled(launch: LaunchDir) -> registry.Launch:
    """Return a launch as it is once its keeper has noticed a server's death, which takes it a moment."""

    def noticed() -> bool:
        now = registry.look(launch)
        server = now.record.get("server")
        return not now.live or server is None or is_alive(server)

    wait_for(noticed, WAIT_SECONDS)
    return registry.look(launch)


def spawn_keeper(launch: LaunchDir, lock: LaunchLock | None) -> int:
    """Start a keeper and return its pid. With a lock that is held, it starts the launch; without, it adopts it."""
    command = [sys.executable, "-I", "-m", "launcher.keeper", str(launch.path)]
    command.append("adopt" if lock is None else str(lock.descriptor))
    environ = {name: value for name, value in os.environ.items() if name != processes.TAG}
    environ[processes.KEEPER_TAG] = launch.launch_id
    # One malloc arena: the keeper's threads are few, and it has to stay small.
    environ["MALLOC_ARENA_MAX"] = "1"
    with Path(launch.path / "keeper.log").open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environ,
            start_new_session=True,
            pass_fds=() if lock is None else (lock.descriptor,),
        )
    child.returncode = 0  # it outlives us, nobody here waits for it
    return child.pid


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until condition() is true, for at most this long; say whether it is."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
