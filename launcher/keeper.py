"""The keeper: the small process that stays with one launch, owns its output and records its end.

    python -I -m launcher.keeper <launchDir> N         starts the launch's server and stays; descriptor N is the lock
    python -I -m launcher.keeper <launchDir> adopt     goes on where a keeper died

One loop: output moves into the log, children are reaped, signals and time-outs are looked at. It imports the standard
library, `contract` and `launcher` modules that do the same.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from contract import events, identity, record
from contract.logline import Event, parse_stamp
from contract.record import LaunchDir, LaunchLock, Phase, Record
from contract.shipped import read_shipped
from launcher import backoff, diagnosis, engines, plan, probe, processes, pruning, recovery, reserve
from launcher.ending import Sweep
from launcher.launchlog import LaunchLog, PositionFile
from launcher.output import Output
from launcher.pump import Pump
from launcher.readiness import ReadinessProbe
from launcher.result import EXITED_BEFORE_READY, NOT_READY_IN_TIME
from launcher.stamping import Stamper, moment
from launcher.watching import Watch

LOG_CLOSE_SECONDS = 3.0
POLL_MAX_SECONDS = 3600.0
ADOPT = "adopt"


class Wakeup:
    """Wakes the loop from signals and threads."""

    def __init__(self) -> None:
        self.descriptor, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def call(self) -> None:
        """Wake the loop."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")

    def clear(self) -> None:
        """Forget the calls so far."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.descriptor, 4096)


class Keeper:
    """Keeps one launch."""

    def __init__(self, launch: LaunchDir, lock: LaunchLock) -> None:
        self._launch = launch
        self._lock = lock
        self._wake = Wakeup()
        self._plan: plan.Plan = plan.read(launch)
        self._record: Record = launch.read()
        self._engine = engines.load(self._record["engine"])
        self._output = Output(self._launch.output_path)
        self._stop_requested = False
        self._stop_reason = "asked to stop"
        self._child = 0
        """The process whose end matters: preStart's, then the server's; 0 if it is not this keeper's child."""
        self._in_pre_start = False
        self._server_descriptor = -1
        """A pidfd of an adopted server."""
        self._server_gone = False
        self._exit_code: int | None = None
        self._exit_signal: str | None = None
        self._helpers: set[int] = set()
        self._failure: tuple[int, str, str] | None = None
        """Why the start failed although the server runs: exit status, cause, hint."""
        self._probe: ReadinessProbe | None = None
        self._alive_at: float | None = None
        self._sweep = Sweep(launch.launch_id, self._plan["stopTimeoutSec"], self._helpers, time.monotonic)
        self._room = pruning.RoomKeeper(self._plan["log"]["minFreeBytes"], launch.shipped_path)
        self._started = time.monotonic()
        self._phase_started = self._started
        self._deadline = float("inf")
        ready = self._plan["ready"]
        self._watch = Watch(self._engine.phases, ready["pattern"] if ready["kind"] == plan.LOG else "")

    # The life of a launch, from top to bottom.

    def start(self) -> None:
        """Start a new launch, and keep it."""
        self._open_log(Stamper(self._record["traceId"], self._record["instanceId"]), segment=1, size=0)
        self._take_office()
        self._deadline = self._started + self._plan["ready"]["timeoutSec"]
        if self._plan["preStart"]:
            self._in_pre_start = True
            self._spawn(self._plan["preStart"])
        else:
            self._start_server()
        self._loop()

    def adopt(self) -> None:
        """Go on with a launch whose keeper has died."""
        position = PositionFile(self._launch.path / "position")
        found = recovery.find(self._plan["log"], position.read())
        position.close()
        if found.last_event is not None and found.last_event.name == events.EXITED:
            self._record_end(found.last_event)
            return
        stamper = Stamper(self._record["traceId"], self._record["instanceId"], found.last_ns)
        taken = recovery.complete(found, self._output, stamper)
        self._open_log(stamper, segment=found.segment, size=found.size + taken)
        self._take_office()
        self._log.event(events.ADOPTED, keeperPid=os.getpid())
        elapsed = (time.time_ns() - parse_stamp(self._record["startedAt"].encode())) / 1e9
        self._started -= max(0.0, elapsed)
        server = self._record.get("server")
        if server is not None and record.is_alive(server):
            self._server_descriptor = os.pidfd_open(server["pid"])
            if self._record["state"] == record.STARTING:
                self._deadline = self._started + self._plan["ready"]["timeoutSec"]
                self._await_ready()
            else:
                self._watch.active = False
            if self._record["state"] == record.STOPPING:
                self._stop_requested = True
        else:
            self._server_gone = True
        self._loop()

    def _open_log(self, stamper: Stamper, *, segment: int, size: int) -> None:
        position = PositionFile(self._launch.path / "position")
        self._log = LaunchLog(self._plan["log"], stamper, position, self._wake.call, segment=segment, size=size)
        self._pump = Pump(self._output, self._log, self._watch)

    def _take_office(self) -> None:
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the loop
        for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(ignored, signal.SIG_IGN)
        processes.become_subreaper()
        ref = record.process_ref(os.getpid())
        assert ref is not None
        self._record["keeper"] = ref
        self._save()

    def _on_stop(self, *_: object) -> None:
        self._stop_requested = True

    def _start_server(self) -> None:
        pid = self._spawn(self._plan["argv"])
        if not pid:
            return
        ref = record.process_ref(pid)
        if ref is not None:
            self._record["server"] = ref
        self._save()
        shown = self._record
        self._log.event(
            events.STARTED,
            launchId=shown["launchId"],
            service=shown["service"],
            env=shown["env"],
            engine=shown["engine"],
            model=shown["modelName"],
            servedName=shown["servedName"],
            host=shown["host"],
            port=shown["port"],
            pid=pid,
            jobId=shown.get("jobId") or None,
            command=" ".join(shown["argv"]),
        )
        self._await_ready()

    def _spawn(self, argv: list[str]) -> int:
        """Start a process of the launch; 0 if that fails, which then is the start's failure."""
        environ = {k: v for k, v in os.environ.items() if k != processes.KEEPER_TAG} | self._plan["environ"]
        end = self._output.open_for_server()
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=end,
                stderr=end,
                cwd=self._plan["workDir"] or None,
                env=environ,
                start_new_session=True,
            )
        except OSError as error:
            self._server_gone = True
            cause = f"cannot run {argv[0]}: {error.strerror}"
            self._failure = (EXITED_BEFORE_READY, cause, "check the path and its execute permission")
            return 0
        finally:
            os.close(end)
        child.returncode = 0  # the loop reaps it; Popen shall not
        self._child = child.pid
        return child.pid

    def _await_ready(self) -> None:
        ready = self._plan["ready"]
        if ready["kind"] == plan.ALIVE:
            self._alive_at = time.monotonic() + plan.ALIVE_SECONDS
        elif ready["kind"] != plan.LOG:
            self._start_probe()

    def _start_probe(self) -> None:
        api_key = ""
        if self._plan["apiKeyFile"]:
            with contextlib.suppress(OSError):
                api_key = Path(self._plan["apiKeyFile"]).read_text(encoding="utf-8").strip()
        self._probe = ReadinessProbe(self._plan["ready"], api_key, self._wake.call)
        self._probe.start()

    def _loop(self) -> None:
        while True:
            self._wait()
            self._reap()
            self._pump.run()
            self._tell_phases()
            if self._record["state"] == record.STARTING and not self._server_gone and self._failure is None:
                self._judge_readiness()
            self._make_room()
            if self._log.segments() != self._record.get("segments"):
                self._save()
                shipped = read_shipped(self._launch.shipped_path)
                pruning.prune(self._log.segments()[:-1], self._plan["log"]["keep"] - 1, shipped)
            if self._stop_requested and self._record["state"] in (record.STARTING, record.READY):
                self._record["state"] = record.STOPPING
                self._log.event(events.STOPPING, reason=self._stop_reason)
                self._save()
            ending = self._server_gone or self._failure is not None or self._record["state"] == record.STOPPING
            if ending and self._sweep.run(
                self._record.get("server"), server_gone=self._server_gone, stopping=self._stop_requested
            ):
                break
        self._finish()

    def _make_room(self) -> None:
        """Give up the oldest segments when the disk gets full: what the server prints now matters more."""
        for gone in self._room.look(self._log.segments()[:-1], self._log.writer.error):
            if not gone.shipped:
                self._log.event(events.DROPPED, bytes=gone.bytes, reason=f"{gone.path.name} is deleted: {gone.why}")

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._wake.descriptor, select.POLLIN)
        if self._pump.ready_to_poll:
            poller.register(self._output.descriptor, select.POLLIN)
        if self._server_descriptor >= 0 and not self._server_gone:
            poller.register(self._server_descriptor, select.POLLIN)
        now = time.monotonic()
        times = [self._pump.timeout(), pruning.IDLE_CHECK_SECONDS if self._log.segment > 1 else None]
        if self._record["state"] == record.STARTING:
            times.append(self._deadline - now if self._deadline != float("inf") else None)
            times.append(None if self._alive_at is None else self._alive_at - now)
        if self._server_gone or self._failure is not None or self._stop_requested:
            times.append(self._sweep.next_at - now)
        timeout = min((t for t in times if t is not None), default=None)
        poller.poll(None if timeout is None else min(max(0.0, timeout), POLL_MAX_SECONDS) * 1000)
        self._wake.clear()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._helpers.discard(pid)
            if pid == self._child:
                self._child_ended(status)
        server = self._record.get("server")
        if self._server_descriptor >= 0 and not self._server_gone and server is not None:
            self._server_gone = not record.is_alive(server)

    def _child_ended(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        if self._in_pre_start and code == 0 and not self._stop_requested:
            self._in_pre_start = False
            self._start_server()
            return
        self._server_gone = True
        self._exit_code = code if code >= 0 else None
        self._exit_signal = signal.Signals(-code).name if code < 0 else None
        if self._in_pre_start and not self._stop_requested and self._failure is None:
            how = f"exit status {code}" if code >= 0 else f"killed by {self._exit_signal}"
            self._failure = (EXITED_BEFORE_READY, f"preStart failed: {how}", "its output is in the log")

    def _tell_phases(self) -> None:
        if not self._watch.passed:
            return
        now = time.monotonic()
        phases = self._record.setdefault("phases", [])
        for name in self._watch.passed:
            phase: Phase = {"name": name, "seconds": round(now - self._phase_started, 3)}
            phases.append(phase)
            self._log.event(events.PHASE, name=name, seconds=phase["seconds"])
            self._phase_started = now
        self._watch.passed.clear()
        self._save()

    def _judge_readiness(self) -> None:
        now = time.monotonic()
        if self._watch.ready_seen or (self._alive_at is not None and now >= self._alive_at):
            ready = self._plan["ready"]
            if self._probe is None and (ready["warmup"] or ready["smoke"] is not None):
                self._start_probe()
            elif self._probe is None:
                self._become_ready()
                return
        if self._probe is not None and self._probe.passed:
            self._become_ready()
        elif self._probe is not None and self._probe.failure:
            self._failure = (EXITED_BEFORE_READY, self._probe.failure, "the server answers, but not as `smoke` asks")
        elif now >= self._deadline:
            missing = self._probe.last if self._probe is not None else "the awaited line did not appear"
            limit = f"{self._plan['ready']['timeoutSec']:g} s"
            cause = (
                f"preStart did not end within {limit}"
                if self._in_pre_start
                else f"not ready after {limit}: {missing}"
            )
            self._failure = (NOT_READY_IN_TIME, cause, "raise readyTimeoutSec if it only needs more time")

    def _become_ready(self) -> None:
        self._watch.active = False
        self._record["state"] = record.READY
        self._record["readyAt"] = moment()
        port = self._record["port"]
        if port is not None:
            self._record["url"] = probe.url(self._plan["ready"]["host"], port)
        self._log.event(
            events.READY,
            seconds=self._elapsed(),
            pid=self._record["server"]["pid"],
            port=port,
            url=self._record.get("url"),
        )
        self._save()
        self._report("ready")

    def _finish(self) -> None:
        """Write the last words, in the log, in the record and to whoever wants to be called."""
        if self._probe is not None:
            self._probe.stop()
        self._pump.finish()
        self._tell_phases()
        was = self._record["state"]
        self._log.writer.wait(LOG_CLOSE_SECONDS)
        state, how = self._judge_end(was)
        self._record["exit"] = how
        shown = {
            "seconds": self._elapsed(),
            "exitCode": how["code"],
            "signal": how["signal"],
            "cause": how.get("cause"),
            "hint": how.get("hint"),
            "evidence": "\n".join(how.get("evidence", [])) or None,
        }
        if state == record.FAILED:
            self._log.event(events.FAILED, **shown, exitStatus=how["exitStatus"])
        attempt = self._restarts(state)
        following = identity.new_launch_id(time.time())
        if attempt is not None:
            self._log.event(events.RESTARTED, launchId=following, attempt=attempt)
        self._log.event(events.EXITED, state=state, **shown)
        self._log.close(LOG_CLOSE_SECONDS)
        self._record["state"] = state
        self._record["endedAt"] = moment()
        self._save()
        reserve.release(self._launch)
        self._report(state)
        if attempt is not None:
            self._run("launcher.restarting", following)

    def _record_end(self, exited: Event) -> None:
        """Record an end that the log tells already: the keeper before could, or did, write no more than that."""
        fields = exited.fields
        how: record.Exit = {
            "code": int(fields["exitCode"]) if "exitCode" in fields else None,
            "signal": fields.get("signal"),
        }
        if "cause" in fields:
            how["cause"] = fields["cause"]
        if "hint" in fields:
            how["hint"] = fields["hint"]
        if "evidence" in fields:
            how["evidence"] = fields["evidence"].split("\n")
        self._record["state"] = fields["state"]
        self._record["exit"] = how
        self._record["endedAt"] = moment()
        self._write_record()
        self._report(fields["state"])

    def _restarts(self, state: str) -> int | None:
        """Return the number of the restart that follows this end, None if none does."""
        crashed = state == record.CRASHED or (state == record.FAILED and self._plan["attempt"] > 0)
        return backoff.next_attempt(self._plan, self._record, time.time()) if crashed else None

    def _judge_end(self, was: str) -> tuple[str, record.Exit]:
        how: record.Exit = {"code": self._exit_code, "signal": self._exit_signal}
        if was == record.STOPPING:
            if self._sweep.stuck:
                names = ", ".join(f"{p.pid} ({processes.command_line(p.pid)})" for p in self._sweep.stuck)
                how["cause"] = f"processes do not end: {names}"
            return record.STOPPED, how
        if was == record.READY and self._record["engine"] == "custom" and self._exit_code == 0:
            return record.STOPPED, how
        status, cause, hint = self._failure or (EXITED_BEFORE_READY, "", "")
        found = diagnosis.of_log(self._engine, self._log.segments())
        if found is not None and not (self._failure and status == EXITED_BEFORE_READY):
            how["cause"] = found.cause if not cause else f"{cause}; {found.cause}"
            how["hint"] = found.hint
            holder = self._port_holder() if found.about_port else ""
            if holder:
                how["hint"] = f"{holder}: {found.hint}"
            how["evidence"] = found.evidence
        else:
            how["cause"] = cause or self._how_it_ended(was)
            if hint:
                how["hint"] = hint
        if was == record.STARTING:
            how["exitStatus"] = status
            return record.FAILED, how
        return record.CRASHED, how

    def _port_holder(self) -> str:
        from launcher import ports  # noqa: PLC0415  (only for a start that failed, and not small)

        port = self._record["port"]
        holder = None if port is None else ports.holder(port, self._plan["ready"]["host"])
        return "" if holder is None else holder.describe()

    def _how_it_ended(self, was: str) -> str:
        before = " before it was ready" if was == record.STARTING else ""
        if self._exit_signal:
            return f"killed by {self._exit_signal}{before}"
        if self._exit_code == 0 and self._sweep.found:
            return (
                f"exited with status 0{before} and left {self._sweep.found} processes: it must stay in the foreground"
            )
        if self._exit_code is None:
            return f"ended{before}, with nobody there to see its status"
        return f"exited with status {self._exit_code}{before}"

    def _report(self, event: str) -> None:
        """Have the callback sent by a child: the keeper neither waits for receivers nor imports what that takes."""
        if self._plan["callbackUrl"]:
            self._run("launcher.reporter", event)

    def _run(self, module: str, argument: str) -> None:
        """Run a helper that outlives the keeper if need be."""
        command = [sys.executable, "-I", "-m", module, str(self._launch.path), argument]
        environ = os.environ | {processes.KEEPER_TAG: self._record["launchId"]}
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environ,
                start_new_session=True,
            )
        except OSError as error:
            print(f"cannot start {module}: {error}", file=sys.stderr)  # noqa: T201  (keeper.log)
            return
        child.returncode = 0
        self._helpers.add(child.pid)

    def _save(self) -> None:
        self._record["segments"] = self._log.segments()
        self._write_record()

    def _write_record(self) -> None:
        try:
            self._lock.write(self._record)
        except OSError:
            reserve.release(self._launch)
            try:
                self._lock.write(self._record)
            except OSError as error:
                # The log's writer waits for room too, and the next change is saved in full.
                print(f"cannot write the record: {error}", file=sys.stderr)  # noqa: T201  (keeper.log)

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 3)


def main() -> int:
    """Keep the launch whose directory is named."""
    launch = LaunchDir(Path(sys.argv[1]))
    if sys.argv[2] == ADOPT:
        lock = LaunchLock(launch)
        # Else somebody keeps it already, or did until its end.
        if lock.acquire() and launch.read()["state"] not in record.ENDED_STATES:
            Keeper(launch, lock).adopt()
    else:
        descriptor = int(sys.argv[2])
        os.set_inheritable(descriptor, False)
        Keeper(launch, LaunchLock(launch, descriptor)).start()
    return 0


if __name__ == "__main__":
    sys.exit(main())
