"""Asks a starting server, in a thread, whether it is ready."""

import threading
from collections.abc import Callable

from launcher import plan, probe

PROBE_SECONDS = 0.25


class ReadinessProbe(threading.Thread):
    """Asks the server again and again whether it is ready."""

    def __init__(self, ready: plan.ReadyPlan, api_key: str, wake: Callable[[], None]) -> None:
        super().__init__(name="probe", daemon=True)
        self._ready = ready
        self._wake = wake
        self._stopped = threading.Event()
        self._target = probe.Target(probe.connect_host(ready["host"]), ready["port"] or 0, api_key)
        self.passed = False
        self.failure = ""
        """A smoke test's answer was wrong: there is no use in waiting."""
        self.last = "nothing listens yet"
        """What was missing at the last try."""

    def run(self) -> None:
        """Ask until it is ready or nobody wants to know any more."""
        while not self._stopped.is_set():
            try:
                self._check()
            except probe.ProbeError as error:
                self.last = str(error)
            else:
                self.passed = not self.failure
                self._wake()
                return
            self._stopped.wait(PROBE_SECONDS)

    def stop(self) -> None:
        """Do not ask again."""
        self._stopped.set()

    def _check(self) -> None:
        ready = self._ready
        if ready["kind"] == plan.PORT:
            probe.check_port(self._target)
        elif ready["kind"] == plan.HTTP:
            probe.check_ready_path(self._target, ready["path"])
            if ready["modelsPath"]:
                probe.check_model(self._target, ready["modelsPath"], ready["servedName"])
        if ready["warmup"]:
            probe.warm_up(self._target, ready["completionsPath"], ready["servedName"])
        if ready["smoke"] is not None:
            try:
                probe.smoke_test(self._target, ready["completionsPath"], ready["servedName"], ready["smoke"])
            except probe.ProbeError as error:
                self.failure = f"smoke test: {error}"
