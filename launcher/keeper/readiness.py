"""Checks whether a starting server is ready: by its output, by probes, or because it still runs."""

import contextlib
import threading
import time
from collections.abc import Callable

from tracetail.contract.secret_file import SecretFileError, read_secret
from tracetail.launcher import plan, probe
from tracetail.launcher.engines.causes.cause import NO_TEXT, Text
from tracetail.launcher.keeper.exit_reason import Failure
from tracetail.launcher.keeper.phase_watch import PhaseWatch
from tracetail.launcher.result import EXITED_BEFORE_READY, NOT_READY_IN_TIME, PORT_HELD

PROBE_SECONDS = 0.25
_NO_LINE = Text("the awaited line did not appear", "没有出现等待的那一行")
_NEVER = float("inf")


class Readiness:
    """The readiness of one server, from its start until it is ready or the start has failed."""

    def __init__(
        self,
        settings: plan.Plan,
        watch: PhaseWatch,
        wake: Callable[[], None],
        foreign_listener: Callable[[], Text],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what is needed to check.

        Args:
            settings: the launch's plan.
            watch: searches the server's output.
            wake: called by a thread when check() may return something new.
            foreign_listener: called by that thread when the server answers; returns which other process listens at
                the port in its place, "" if none does.
            clock: seconds, monotonic.

        """
        self._settings = settings
        self._ready = settings["ready"]
        self._watch = watch
        self._wake = wake
        self._foreign_listener = foreign_listener
        self._clock = clock
        self._probe: ReadinessProbe | None = None
        self._alive_at: float | None = None
        self._deadline = _NEVER

    @property
    def tls(self) -> bool:
        """Whether the server speaks TLS."""
        return self._probe.tls if self._probe is not None else self._ready["tls"]

    def expect_from(self, started: float) -> None:
        """Let the ready time-out run from this time (monotonic seconds)."""
        self._deadline = started + self._ready["timeoutSec"]

    def begin(self) -> None:
        """Begin to check: the server has started."""
        if self._ready["kind"] == plan.ALIVE:
            self._alive_at = self._clock() + plan.ALIVE_SECONDS
        elif self._ready["kind"] != plan.LOG:
            self._start_probe()

    def stop(self) -> None:
        """End the checks."""
        if self._probe is not None:
            self._probe.stop()

    def timeout(self) -> float | None:
        """Return in how many seconds check() is to be called even if nothing happens; None for never."""
        at = min(self._deadline, _NEVER if self._alive_at is None else self._alive_at)
        return None if at == _NEVER else at - self._clock()

    def check(self, *, preparing: str) -> Failure | bool:
        """Return whether the server is ready, or why the start has failed. preparing: the step before the server."""
        now = self._clock()
        if self._watch.ready_seen or (self._alive_at is not None and now >= self._alive_at):
            if self._probe is None and not (self._ready["warmup"] or self._ready["smoke"] is not None):
                return True
            if self._probe is None:  # warm-up and smoke test ask it
                self._start_probe()
        if self._probe is not None and self._probe.passed:
            return True
        if self._probe is not None and self._probe.failure.en:
            hint, hint_zh = "the server answers, but not as `smoke` asks", "服务有回答，但不符合 `smoke` 的要求"
            cause, cause_zh = self._probe.failure
            return Failure(EXITED_BEFORE_READY, cause, hint, "smoke_failed", cause_zh, hint_zh)
        if now >= self._deadline:
            return self._time_out(preparing)
        return False

    def _time_out(self, preparing: str) -> Failure:
        hint, hint_zh = (
            "raise readyTimeoutSec if it only needs more time",
            "如果只是需要更多时间，增大 readyTimeoutSec",
        )
        limit = f"{self._ready['timeoutSec']:g} s"
        if preparing:
            late, late_zh = f"{preparing} did not end within {limit}", f"{preparing} 未在 {limit} 内结束"
            return Failure(NOT_READY_IN_TIME, late, hint, "not_ready_in_time", late_zh, hint_zh)
        if self._probe is not None and self._probe.foreign.en:
            hint, hint_zh = "stop it, or choose another port", "停止它，或换一个端口"
            return Failure(PORT_HELD, self._probe.foreign.en, hint, "port_in_use", self._probe.foreign.zh, hint_zh)
        missing = self._probe.last if self._probe is not None else _NO_LINE
        progress, progress_zh = self._watch.describe_progress()
        late, late_zh = (
            f"not ready after {limit}: {missing.en}; {progress}",
            f"{limit} 后仍未就绪：{missing.zh}；{progress_zh}",
        )
        return Failure(NOT_READY_IN_TIME, late, hint, "not_ready_in_time", late_zh, hint_zh)

    def _start_probe(self) -> None:
        api_key = ""
        if self._settings["apiKeyFile"]:
            with contextlib.suppress(SecretFileError):
                api_key = read_secret("apiKeyFile", self._settings["apiKeyFile"])
        self._probe = ReadinessProbe(
            self._ready, api_key, plan.own_key_file(self._settings), self._wake, self._foreign_listener
        )
        self._probe.start()


class ReadinessProbe(threading.Thread):
    """Probes the server at intervals until it is ready."""

    def __init__(
        self,
        ready: plan.ReadyPlan,
        api_key: str,
        own_key_file: str,
        wake: Callable[[], None],
        foreign_listener: Callable[[], Text],
    ) -> None:
        super().__init__(name="probe", daemon=True)
        self._ready = ready
        self._wake = wake
        self._foreign_listener = foreign_listener
        self._stopped = threading.Event()
        self._target = probe.Target(
            probe.connect_host(ready["host"]), ready["port"] or 0, api_key, ready["tls"], own_key_file
        )
        self.passed = False
        self.failure = NO_TEXT
        """Why the smoke test failed: further probes would not help."""
        self.foreign = NO_TEXT
        """Which other process listens at the port, if one does."""
        self.last = Text("nothing listens yet", "端口尚无监听")
        """Why the last probe failed."""

    def run(self) -> None:
        """Probe until the server is ready or stop() is called."""
        while not self._stopped.is_set():
            try:
                self._check()
            except probe.ProbeError as error:
                self.last = Text(str(error), error.chinese)
                if isinstance(error, probe.NotHttpError) and not self.tls and probe.speaks_tls(self._target):
                    # By a configuration file, or within a container: no flag shows it.
                    self._target = self._target._replace(tls=True)
            else:
                self.passed = not self.failure.en
                self._wake()
                return
            self._stopped.wait(PROBE_SECONDS)

    @property
    def tls(self) -> bool:
        """Whether the server speaks TLS."""
        return self._target.tls

    def stop(self) -> None:
        """End the probes."""
        self._stopped.set()

    def _check(self) -> None:
        ready = self._ready
        if ready["kind"] == plan.PORT:
            probe.check_port(self._target)
        elif ready["kind"] == plan.HTTP:
            probe.check_ready_path(self._target, ready["path"])
            if ready["modelsPath"]:
                probe.check_model(self._target, ready["modelsPath"], ready["servedName"])
        self.foreign = self._foreign_listener()
        if self.foreign.en:
            raise probe.ProbeError(*self.foreign)
        if ready["warmup"]:
            probe.warm_up(self._target, ready["completionsPath"], ready["servedName"])
        if ready["smoke"] is not None:
            try:
                probe.smoke_test(self._target, ready["completionsPath"], ready["servedName"], ready["smoke"])
            except probe.ProbeError as error:
                self.failure = Text(f"smoke test: {error}", f"冒烟测试：{error.chinese}")
