"""Probes a ready server as long as it runs, and judges whether it is healthy.

Three things are watched, because each misses what another sees: whether the health path answers; whether a process of
the launch is stopped (vLLM's /health answers 200 while its EngineCore is); and, where wanted, whether a token comes.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from tracetail.contract.processes import Process, read_process
from tracetail.contract.secret_file import SecretFileError, read_secret
from tracetail.launcher import plan, probe
from tracetail.launcher.keeper.surroundings import Surroundings
from tracetail.launcher.machine import processes

MEMBERS_SECONDS = 60.0
"""Interval at which the launch's processes are looked up; in between, only those are read that are known."""
STOPPED_STATE = "T"
"""Stopped by a signal (proc_pid_stat(5)); `t`, stopped by a debugger, is somebody's intention."""


class Problem(NamedTuple):
    """Why a server is not healthy."""

    cause: str
    hint: str = ""
    cause_zh: str = ""
    hint_zh: str = ""


class Streak:
    """The failed probes since the last success. Pure: times are passed in."""

    def __init__(self, timeout: float) -> None:
        """Args: timeout: seconds that probes have to fail."""
        self._timeout = timeout
        self.since: float | None = None
        """When the first of the failed probes began."""

    def add(self, began: float, ended: float, problem: Problem | None) -> Problem | None:
        """Add a probe's outcome; return the problem if it has lasted for long enough."""
        if problem is None:
            self.since = None
            return None
        if self.since is None:
            self.since = began
        return problem if ended - self.since >= self._timeout else None


class Liveness(threading.Thread):
    """The probes of one ready server, in a thread of their own: start() begins them."""

    def __init__(
        self,
        settings: plan.Plan,
        wake: Callable[[], None],
        members: Callable[[], Collection[Process]],
        surroundings: Surroundings,
        *,
        tls: bool,
    ) -> None:
        """Take what is needed to probe.

        Args:
            settings: the launch's plan.
            wake: called by the thread when `problem` has changed.
            members: returns the running processes of the launch.
            surroundings: knows what they have run out of.
            tls: the server is probed by https.

        """
        super().__init__(name="liveness", daemon=True)
        self._ready = settings["ready"]
        self._liveness = settings["liveness"]
        self._key_file = settings["apiKeyFile"]
        self._own_key_file = plan.own_key_file(settings)
        self._tls = tls
        self._wake = wake
        self._watch = StoppedProcesses(members)
        self._surroundings = surroundings
        self._streak = Streak(self._liveness["timeoutSec"])
        self._ended = threading.Event()
        self._has_answered = self._ready["kind"] == plan.HTTP
        """A server that is ready for another reason may have no health path: only one that once answered counts."""
        self.problem: Problem | None = None
        """Why the server is unhealthy; None while it is not."""
        self.healthy = False
        """The last probe passed."""

    def run(self) -> None:
        """Probe until stop() is called."""
        if self._liveness["kind"] == plan.NONE:
            return
        while not self._ended.wait(self._liveness["intervalSec"]):
            began = time.monotonic()
            found = self._probe()
            judged = self._streak.add(began, time.monotonic(), found)
            # Between the first failure and the judgement the last judgement holds.
            if found is None or judged is not None:
                first = not self.healthy and found is None  # after a takeover of an unhealthy server
                changed = (judged is None) != (self.problem is None)
                self.problem = judged
                self.healthy = found is None
                if changed or first:
                    self._wake()

    def stop(self) -> None:
        """End the probes."""
        self._ended.set()

    def _probe(self) -> Problem | None:
        stopped = self._watch.find()
        if stopped is not None:
            return stopped
        if self._ready["port"] is None:
            return None
        api_key = ""
        if self._key_file:
            with contextlib.suppress(SecretFileError):
                api_key = read_secret("apiKeyFile", self._key_file)
        host = probe.connect_host(self._ready["host"])
        target = probe.Target(host, self._ready["port"], api_key, self._tls, self._own_key_file)
        try:
            self._check(target)
        except probe.ProbeError as error:
            cause, cause_zh = f"the server no longer answers: {error}", f"服务不再响应：{error.chinese}"
            fact = self._surroundings.open_files_fact()  # then it accepts no connection, and prints nothing
            if fact is not None:
                return Problem(
                    f"{cause}; {fact.cause[0]}", fact.hint[0], f"{cause_zh}；{fact.cause[1]}", fact.hint[1]
                )
            return Problem(cause, "see what it printed last; restart it", cause_zh, "查看它最后的输出；重启服务")
        return None

    def _check(self, target: probe.Target) -> None:
        """Raise ProbeError if the server does not answer as it did when it became ready."""
        ready = self._ready
        if ready["kind"] == plan.PORT:
            probe.check_port(target)
        else:
            try:
                probe.check_ready_path(target, ready["path"])
                self._has_answered = True
            except probe.ProbeError:
                if self._has_answered:
                    raise
        if self._liveness["kind"] == plan.TOKEN:
            timeout = self._liveness["timeoutSec"]
            probe.warm_up(target, ready["completionsPath"], ready["servedName"], timeout=timeout)


class StoppedProcesses:
    """Finds processes of a launch that a signal has stopped (SIGSTOP): they hold their memory and do nothing."""

    def __init__(
        self, members: Callable[[], Collection[Process]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args: members: returns the running processes of the launch; clock: seconds, monotonic."""
        self._members = members
        self._clock = clock
        self._known: list[Process] = []
        self._read_at = -MEMBERS_SECONDS

    def find(self) -> Problem | None:
        """Return which process is stopped; None if none is."""
        now = self._clock()
        if now - self._read_at >= MEMBERS_SECONDS:
            self._known = list(self._members())
            self._read_at = now
        for known in self._known:
            process = read_process(known.pid)
            if process is not None and process.start_time == known.start_time and process.state == STOPPED_STATE:
                name = processes.command_line(process.pid)
                return Problem(
                    f"process {process.pid} ({name[:120]}) is stopped: it was sent SIGSTOP",
                    f"kill -CONT {process.pid} continues it",
                    f"进程 {process.pid}（{name[:120]}）已暂停：收到了 SIGSTOP",
                    f"kill -CONT {process.pid} 可让它继续",
                )
        return None
