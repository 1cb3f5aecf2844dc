"""The container in which the server of one launch runs: made, watched, ended and judged through its runtime.

The runtime may take long to answer, so it is asked in threads; the keeper's loop never waits for it.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tracetail.contract.owned_files import replace_file
from tracetail.contract.processes import process_ref
from tracetail.contract.record import ContainerRecord, LaunchDir, Record
from tracetail.launcher.containers import ending
from tracetail.launcher.containers.client import Client, Container, RuntimeProblemError
from tracetail.launcher.engines.signals import name_of
from tracetail.launcher.keeper import end_facts
from tracetail.launcher.keeper.child import Child
from tracetail.launcher.keeper.end_facts import EndFact
from tracetail.launcher.plan import CONTAINER_ENVIRON_FILE, CONTAINER_ID_FILE, ContainerPlan

START_GIVE_UP_SECONDS = 60.0
"""How long a start waits for a runtime that does not answer; later its container is left to `gc`."""
CREATE_SECONDS = 30.0
"""How long the making of a container may take once it is no longer wanted."""
GOING_DOWN_SECONDS = 10.0
"""For how long dockerd may answer after it has ended its containers, when it is ended itself."""
_OF_A_STOP = (128 + 15, 128 + 9)
"""Exit statuses of containers that SIGTERM or SIGKILL has ended."""
SLOWEST_LOOK_SECONDS = 2.0


class ServerContainer:
    """The container of one launch."""

    def __init__(self, settings: ContainerPlan, launch: LaunchDir, wake: Callable[[], None]) -> None:
        """Args: settings: of the plan; launch: whose; wake: called by a thread when something has changed."""
        self._settings = settings
        self._client = Client(settings["runtime"], settings["client"])
        self._launch = launch
        self._wake = wake
        self._found: Container | None = None
        """As it was first seen running."""
        self._problem: RuntimeProblemError | None = None
        self._end_asked = False
        self._ended: ending.Ended | None = None
        self._create_until: float | None = None
        self.left = ""
        """Why a container could not be removed; empty while that is not certain."""

    @property
    def environ_path(self) -> Path:
        """The file with the variables that no command line shows; it is there only while the container is made."""
        return self._launch.path / CONTAINER_ENVIRON_FILE

    def write_environ(self) -> None:
        """Write the variables for the command that makes the container."""
        lines = [f"{name}={value}\n" for name, value in self._settings["secrets"].items()]
        replace_file(self.environ_path, "".join(lines).encode(), mode=0o600)

    def remove_environ(self) -> None:
        """Remove the file with the variables."""
        self.environ_path.unlink(missing_ok=True)

    def container_id(self) -> str:
        """Return the id of the container that was made; "" if none was."""
        try:
            return (self._launch.path / CONTAINER_ID_FILE).read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def watch(self, known: Record) -> None:
        """Find out, in a thread, which process the container's first one is. known: the launch's record."""
        if "init" not in known.get("container", {}):
            threading.Thread(target=self._look, name="container", daemon=True).start()

    def _look(self) -> None:
        pause = 0.1
        while not self._end_asked:
            with contextlib.suppress(RuntimeProblemError):
                found = self._client.inspect(self.container_id())
                if found is not None and found.pid:
                    self._found = found
                    self._wake()
                    return
            time.sleep(pause)
            pause = min(2 * pause, SLOWEST_LOOK_SECONDS)

    def apply(self, known: Record) -> bool:
        """Put what was found out into the record; return whether that changed it."""
        container = known.get("container", ContainerRecord())
        before = dict(container)
        if self._found is not None and "init" not in container:
            ref = process_ref(self._found.pid)
            if ref is not None:
                container["init"] = ref
        if self._problem is not None:
            container["problem"] = self._problem.cause
        else:
            container.pop("problem", None)
        known["container"] = container
        return before != dict(container)

    @property
    def problem(self) -> RuntimeProblemError | None:
        """Why the runtime does not answer, while the container's end is asked for; None if it does."""
        return self._problem

    def run_end(self, stop_seconds: float, *, asked: bool, starting: bool, creating: bool) -> bool:
        """Begin the container's end, or look whether it is over; return whether it is.

        Args:
            stop_seconds: from SIGTERM to SIGKILL.
            asked: the end was asked for.
            starting: the server has not been ready.
            creating: the command that makes the container runs. Ended now, it might leave one a moment later.

        """
        now = time.monotonic()
        if creating:
            self._create_until = self._create_until or now + CREATE_SECONDS
            if now < self._create_until:
                return False
        if not self._end_asked:
            self._end_asked = True
            give_up = START_GIVE_UP_SECONDS if starting else None
            arguments = (stop_seconds, give_up, asked)
            threading.Thread(target=self._end, args=arguments, name="container", daemon=True).start()
        return self._ended is not None or bool(self.left)

    def _end(self, stop_seconds: float, give_up: float | None, asked: bool) -> None:
        try:
            ended = ending.end(
                self._client,
                self._settings["labels"],
                stop_seconds,
                give_up_seconds=give_up,
                report=self._report,
            )
            if not asked and self._ended_by_daemon(ended):
                away = ending.seconds_away(self._client, GOING_DOWN_SECONDS, self._report, give_up)
                ended = ended._replace(away_seconds=ended.away_seconds + away)
            self._ended = ended
        except ending.NotEndedError as error:
            self.left = str(error)
        self._wake()

    def _ended_by_daemon(self, ended: ending.Ended) -> bool:
        """Return whether a daemon that goes down may have ended the container: nobody else is known to have."""
        last = ended.container
        by_signal = last is not None and last.exit_code in _OF_A_STOP and not last.oom_killed
        is_known = ended.was_running or ended.was_removed
        return self._settings["runtime"] == "docker" and by_signal and not is_known

    def _report(self, problem: RuntimeProblemError | None) -> None:
        changed = (problem is None) != (self._problem is None)
        self._problem = problem
        if changed:
            self._wake()

    # The end, judged.

    def put_status(self, child: Child, *, asked: bool) -> None:
        """Give the child, which was the runtime's client, the status with which the container ended.

        asked: the end was asked for. Otherwise a container that outlived its client, or its runtime, has the status
        of being ended here: the client's own says more.
        """
        ended = self._ended
        last = ended.container if ended is not None else None
        if ended is None or last is None or not last.started or last.running:
            return
        if not asked and (ended.was_running or ended.away_seconds):
            if child.code is not None and child.code > 128:  # which a client passes on from its container
                child.code = None
            return
        # The init process of the container reports a signal as a shell does.
        number = last.exit_code - 128 if 128 < last.exit_code <= 128 + 64 else 0
        child.code = None if number else last.exit_code
        child.signal = name_of(number) if number else None

    def put_exit(self, known: Record) -> None:
        """Put into the record's exit what the runtime says about the end."""
        last = self._ended.container if self._ended is not None else None
        if self.left:
            known["exit"]["container"] = {"error": f"it is left: {self.left}"}
        if last is None:
            return
        known["exit"]["container"] = {"exitCode": last.exit_code, "oomKilled": last.oom_killed}
        if last.error:
            known["exit"]["container"]["error"] = last.error
        digest = known.get("container", {}).get("imageDigest") or last.image_id
        if digest:
            known["exit"]["container"]["imageDigest"] = digest

    def facts(self, *, made: bool, said: str) -> Sequence[EndFact]:
        """Return what the runtime knows of an end that nobody asked for.

        Args:
            made: a container had been made.
            said: the error that the log names, if it is none of the known causes.

        """
        ended, runtime = self._ended, self._settings["runtime"]
        if ended is None:
            return []
        last = ended.container
        if said and not made and (not self.container_id() if last is None else not last.started):
            return [end_facts.container_not_started(said)]  # by its client, which alone has printed
        if last is not None and last.oom_killed:
            return [end_facts.container_out_of_memory(last.name)]
        if last is None or ended.was_removed:
            return [end_facts.container_removed(runtime)] if made else []
        if ended.away_seconds:
            return [end_facts.container_runtime_restarted(runtime, ended.away_seconds)]
        if ended.was_running:
            return [end_facts.container_client_ended(runtime)]
        return []
