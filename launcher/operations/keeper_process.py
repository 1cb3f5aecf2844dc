"""Gives a launch whose keeper is gone a new one, and starts keepers in general."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tracetail.contract import record
from tracetail.contract.process_tag import KEEPER_TAG, LAUNCH_TAG
from tracetail.contract.processes import is_alive, read_process
from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.launcher import plan, registry

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.02


def needs_keeper(launch: registry.Launch) -> bool:
    """Say whether a launch's record promises a keeper that is not there."""
    return not launch.kept and launch.record["state"] in registry.LIVE_STATES


def adopt(launch: LaunchDir) -> bool:
    """Start a keeper that goes on with a launch; True as soon as one is in office, or the launch has ended."""
    pid = spawn_keeper(launch, None)

    def in_office() -> bool:
        now = registry.look(launch)
        keeper = now.record.get("keeper")
        ended = now.record["state"] in record.ENDED_STATES
        return ended or (now.kept and keeper is not None and is_alive(keeper))

    def gone() -> bool:
        process = read_process(pid)
        return process is None or process.state in "ZX"

    wait_for(lambda: in_office() or gone(), WAIT_SECONDS)
    return in_office()


def settled(launch: LaunchDir) -> registry.Launch:
    """Return a launch as it is once its keeper has noticed a server's death, which takes it a moment."""

    def noticed() -> bool:
        now = registry.look(launch)
        server = now.record.get("server")
        return not now.live or server is None or is_alive(server)

    wait_for(noticed, WAIT_SECONDS)
    return registry.look(launch)


def spawn_keeper(launch: LaunchDir, lock: LaunchLock | None, *, scope: bool = False) -> int:
    """Start a keeper and return its pid. With a lock that is held, it starts the launch; without, it adopts it.

    With scope, systemd moves it (and so the server) out of the control group of whoever starts it: a scheduler's
    worker that runs as a systemd service would otherwise take its servers along when it is restarted.
    """
    command = [sys.executable, "-I", "-m", "tracetail.launcher.keeper.main", str(launch.path)]
    command.append(plan.ADOPT if lock is None else str(lock.descriptor))
    if scope:
        user = [] if os.geteuid() == 0 else ["--user"]
        unit = f"--unit=tracetail-{launch.launch_id}"
        command = ["systemd-run", "--scope", *user, "--quiet", "--collect", unit, "--", *command]
    environ = {name: value for name, value in os.environ.items() if name != LAUNCH_TAG}
    environ[KEEPER_TAG] = launch.launch_id
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


def run_detached(command: list[str]) -> None:
    """Start a program that nobody waits for."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    child.returncode = 0


def report(launch: LaunchDir, event: str, url: str, token_file: str) -> None:
    """Have a callback of a launch without a keeper sent, in the background; nothing without a URL."""
    if not url:
        return
    from tracetail.launcher import callbacks  # noqa: PLC0415  (needs google-re2, which takes its time to load)

    callbacks.prepare(launch, event, url, token_file)
    run_detached([sys.executable, "-I", "-m", "tracetail.launcher.callbacks", str(launch.path), callbacks.DELIVER])


def wait_for(condition: Callable[[], bool], seconds: float, every: float = POLL_SECONDS) -> bool:
    """Wait until condition() is true, for at most this long; say whether it is."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
