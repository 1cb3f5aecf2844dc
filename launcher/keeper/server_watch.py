"""Watches a launch's server: what it runs out of, and, once it was ready, whether it still works."""

import os
from collections.abc import Callable, Collection, Sequence

from tracetail.contract import events, record
from tracetail.contract.processes import Process
from tracetail.contract.record import Record
from tracetail.launcher import plan
from tracetail.launcher.keeper.end_facts import EndFact
from tracetail.launcher.keeper.launch_log import LaunchLog
from tracetail.launcher.keeper.liveness import Liveness, Problem
from tracetail.launcher.keeper.surroundings import Surroundings
from tracetail.launcher.log.stamper import seconds_between, timestamp_now
from tracetail.launcher.machine import capacity


class ServerWatch:
    """The surroundings of a server from its start on, and its liveness from when it is ready."""

    def __init__(
        self, settings: plan.Plan, wake: Callable[[], None], members: Callable[[], Collection[Process]]
    ) -> None:
        """Take what is needed to watch.

        Args:
            settings: the launch's plan.
            wake: called by a thread when apply() would change something.
            members: returns the running processes of the launch.

        """
        self._settings = settings
        self._wake = wake
        self._members = members
        written = capacity.written_paths(os.environ | settings["environ"], settings["workDir"])
        self._surroundings = Surroundings(written, members)
        self._liveness: Liveness | None = None

    def begin(self, server_pid: int) -> None:
        """Begin to watch the server, which has started."""
        self._surroundings.begin(server_pid)

    def enter(self, container_pid: int) -> None:
        """Watch the server's container, whose first process this is, in place of the runtime's client."""
        self._surroundings.enter(container_pid)

    def probe(self, known: Record) -> None:
        """Begin to probe the server, which is ready. known: its record."""
        tls = known.get("url", "").startswith("https:")
        self._liveness = Liveness(self._settings, self._wake, self._members, self._surroundings, tls=tls)
        self._liveness.start()

    def apply(self, known: Record, log: LaunchLog) -> str:
        """Change the record and write the event if the server's health has changed; return the event, else ""."""
        if self._liveness is None:
            return ""
        problem = self._liveness.problem
        now = timestamp_now()
        if problem is not None and known["state"] == record.READY:
            self.report_problem(known, log, problem)
            return events.UNHEALTHY
        if self._liveness.healthy and known["state"] == record.UNHEALTHY:
            known["state"] = record.READY
            since = known.pop("health", {}).get("since", now)
            log.event(events.RECOVERED, seconds=seconds_between(since, now))
            return events.RECOVERED
        return ""

    @staticmethod
    def report_problem(known: Record, log: LaunchLog, problem: Problem) -> None:
        """Change the record of a ready server, and write the event, because it is unhealthy."""
        now = timestamp_now()
        known["state"] = record.UNHEALTHY
        known["health"] = {
            "cause": problem.cause,
            "hint": problem.hint,
            "causeZh": problem.cause_zh,
            "hintZh": problem.hint_zh,
            "since": now,
        }
        log.event(
            events.UNHEALTHY,
            cause=problem.cause,
            hint=problem.hint or None,
            causeZh=problem.cause_zh or None,
            hintZh=problem.hint_zh or None,
            seconds=seconds_between(known["readyAt"], now),
        )

    def end(self) -> None:
        """End the probes, and look at the surroundings for a last time."""
        if self._liveness is not None:
            self._liveness.stop()
        self._surroundings.end()

    def facts(self, signal_name: str | None) -> Sequence[EndFact]:
        """Return what explains the server's end. signal_name: of the signal that ended it, None for none."""
        return self._surroundings.facts(signal_name)
