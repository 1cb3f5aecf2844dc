"""Starts keepers, for new launches and for launches that lost theirs, and waits for them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from tracetail.contract import record
from tracetail.contract.owned_files import open_owned
from tracetail.contract.process_tag import KEEPER_TAG, LAUNCH_TAG
from tracetail.contract.processes import is_alive, read_process
from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.launcher import plan, registry
from tracetail.launcher.schedulers import END_OF_JOB_MARKS

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.02


def needs_keeper(launch: registry.Launch) -> bool:
    """Return whether a launch of this user should have a keeper and has none."""
    return launch.dir.ours and lost_keeper(launch)


def lost_keeper(launch: registry.Launch) -> bool:
    """Return whether a launch, whosever, should have a keeper and has none."""
    return not launch.kept and launch.record["state"] in registry.LIVE_STATES


def adopt(launch: LaunchDir) -> bool:
    """Start a keeper that adopts a launch, and wait for it; return whether the launch has one, or has ended.

    Raises OSError, ForeignFileError for the launch of another user.
    """
    pid = spawn_keeper(launch, None)

    def is_kept() -> bool:
        now = registry.read_launch(launch)
        keeper = now.record.get("keeper")
        ended = now.record["state"] in record.ENDED_STATES
        return ended or (now.kept and keeper is not None and is_alive(keeper))

    def exited() -> bool:
        process = read_process(pid)
        return process is None or not process.running

    # Ours also exits if another keeper was quicker: that one has the lock, and is recorded a moment later.
    wait_for(lambda: is_kept() or (exited() and not launch.lock_held()), WAIT_SECONDS)
    # On a full disk it is not recorded, but there.
    return is_kept() or (not exited() and launch.lock_held())


def settled(launch: LaunchDir) -> registry.Launch:
    """Return a launch after its keeper has noticed that the server ended, which takes it a moment."""

    def noticed() -> bool:
        now = registry.read_launch(launch)
        server = now.record.get("server")
        return not now.live or server is None or is_alive(server)

    wait_for(noticed, WAIT_SECONDS)
    return registry.read_launch(launch)


def spawn_keeper(launch: LaunchDir, lock: LaunchLock | None, *, scope: bool = False) -> int:
    """Start a keeper and return its pid. With a held lock it starts the launch; without one it adopts it.

    With scope, systemd moves it (and so the server) out of the control group of whoever starts it: a scheduler's
    worker that runs as a systemd service would otherwise take its servers along when it is restarted.
    """
    command = keeper_command(launch, lock)
    if scope:
        user = [] if os.geteuid() == 0 else ["--user"]
        unit = f"--unit=tracetail-{launch.launch_id}"
        command = ["systemd-run", "--scope", *user, "--quiet", "--collect", unit, "--", *command]
    # A job that adopts a launch is not the one that has started it: its end is not that of the launch.
    without = (LAUNCH_TAG, *(END_OF_JOB_MARKS if lock is None else ()))
    environ = {name: value for name, value in os.environ.items() if name not in without}
    environ[KEEPER_TAG] = launch.launch_id
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(open_owned(launch.path, "keeper.log", flags, ours=True), "ab") as log:
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
    child.returncode = 0  # it outlives this process, which does not reap it
    return child.pid


def keeper_command(launch: LaunchDir, lock: LaunchLock | None, *more: str) -> list[str]:
    """Return the command of a keeper. lock: as for spawn_keeper(); more: further arguments."""
    first = plan.ADOPT if lock is None else str(lock.descriptor)
    return [sys.executable, "-I", "-m", "tracetail.launcher.keeper.main", str(launch.path), first, *more]


def run_detached(command: list[str]) -> None:
    """Start a program in the background."""
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
    """Send a callback of a launch without a keeper, in the background. url: where to; "" for none."""
    if not url:
        return
    from tracetail.launcher import callbacks  # noqa: PLC0415  (its HTTP client takes longer to import than all else here)

    callbacks.prepare(launch, event, url, token_file)
    run_detached([sys.executable, "-I", "-m", "tracetail.launcher.callbacks", str(launch.path), callbacks.DELIVER])


def wait_for(condition: Callable[[], bool], seconds: float, every: float = POLL_SECONDS) -> bool:
    """Wait until condition() is true, for at most this many seconds; return whether it is."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True
