"""The keeper: the small process that stays with one launch, owns its output and records its end.

    python -I -m tracetail.launcher.keeper.main <launchDir> N       starts the server; descriptor N is the lock
    python -I -m tracetail.launcher.keeper.main <launchDir> adopt   goes on where a keeper died

One loop: output moves into the log, children are reaped, signals and time-outs are looked at. It imports the standard
library, `contract` and `launcher` modules that do the same.
"""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from tracetail.contract import events, identity, record
from tracetail.contract.logline import Event, parse_stamp
from tracetail.contract.process_tag import KEEPER_TAG
from tracetail.contract.processes import CLOCK_TICKS, boot_id, process_ref
from tracetail.contract.record import LaunchDir, LaunchLock, Phase, Record
from tracetail.contract.shipped import read_shipped
from tracetail.launcher import disk_reserve, engines, plan, probe, restart_policy
from tracetail.launcher.keeper import diagnosis, exit_reason, segment_pruning, takeover
from tracetail.launcher.keeper.child import Child
from tracetail.launcher.keeper.exit_reason import Failure
from tracetail.launcher.keeper.fifo import Output
from tracetail.launcher.keeper.launch_log import LaunchLog
from tracetail.launcher.keeper.phase_watch import Watch
from tracetail.launcher.keeper.position import PositionFile
from tracetail.launcher.keeper.pump import Pump
from tracetail.launcher.keeper.readiness import Readiness
from tracetail.launcher.keeper.teardown import Sweep
from tracetail.launcher.keeper.wakeup import Wakeup
from tracetail.launcher.log.stamper import Stamper, moment
from tracetail.launcher.machine import processes
from tracetail.launcher.result import EXITED_BEFORE_READY

LOG_CLOSE_SECONDS = 3.0
POLL_MAX_SECONDS = 3600.0


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
        self._child = Child()
        self._in_pre_start = False
        """The child is preStart's; the server comes after it."""
        self._failure: Failure | None = None
        """Why the start failed although the server runs."""
        self._helpers: set[int] = set()
        """Children of the keeper that do not belong to the launch: reporters."""
        self._sweep = Sweep(launch.launch_id, self._plan["stopTimeoutSec"], self._helpers, time.monotonic)
        self._disk_space = segment_pruning.DiskSpaceGuard(self._plan["log"]["minFreeBytes"], launch.shipped_path)
        self._started = time.monotonic()
        self._phase_started = self._started
        ready = self._plan["ready"]
        self._watch = Watch(self._engine.phases, ready["pattern"] if ready["kind"] == plan.LOG else "")
        self._readiness = Readiness(self._plan, self._watch, self._wake.call, self._stranger_at_port)

    # The life of a launch, from top to bottom.

    def start(self) -> None:
        """Start a new launch, and keep it."""
        self._open_log(Stamper(self._record["traceId"], self._record["instanceId"]), segment=1, size=0)
        self._take_office()
        self._readiness.expect_from(self._started)
        if self._plan["preStart"]:
            self._in_pre_start = True
            self._spawn(self._plan["preStart"])
        else:
            self._start_server()
        self._loop()

    def adopt(self) -> None:
        """Go on with a launch whose keeper has died."""
        position = PositionFile(self._launch.path / "position")
        found = takeover.find_unfinished(self._plan["log"], position.read())
        position.close()
        if found.end.last_event is not None and found.end.last_event.name == events.EXITED:
            self._record_end(found.end.last_event)
            return
        stamper = Stamper(self._record["traceId"], self._record["instanceId"], found.end.last_ns)
        taken = takeover.complete(found, self._output, stamper)
        self._open_log(stamper, segment=found.end.segment, size=found.end.size + taken)
        self._take_office()
        self._log.event(events.ADOPTED, keeperPid=os.getpid())
        self._started -= self._age()
        if "server" in self._record:
            self._child.take_over(self._record["server"])
        else:
            self._child.gone = True
            self._failure = Failure(
                EXITED_BEFORE_READY, self._why_never_started(), "see keeper.log beside its record"
            )
        if self._record["state"] != record.STARTING:
            self._watch.active = False
        elif not self._child.gone:
            self._readiness.expect_from(self._started)
            self._readiness.begin()
        self._stop_requested = self._record["state"] == record.STOPPING
        self._loop()

    def _why_never_started(self) -> str:
        """Return why there is no server: the keeper before, or systemd-run in its place, may have said so."""
        log = (self._launch.path / "keeper.log").read_bytes().decode(errors="replace").strip()
        return "the server was not started: " + (
            log.rpartition("\n")[2][:200] or "its keeper, or its start, was ended"
        )

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
        ref = process_ref(os.getpid())
        assert ref is not None
        self._record["keeper"] = ref
        self._save()

    def _on_stop(self, *_: object) -> None:
        self._stop_requested = True

    def _start_server(self) -> None:
        if not self._spawn(self._plan["argv"]):
            return
        ref = process_ref(self._child.pid)
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
            pid=self._child.pid,
            jobId=shown.get("jobId") or None,
            command=" ".join(shown["argv"]),
        )
        self._readiness.begin()

    def _spawn(self, argv: list[str]) -> bool:
        """Start a process of the launch; False if that fails, which then is the start's failure."""
        environ = {k: v for k, v in os.environ.items() if k != KEEPER_TAG} | self._plan["environ"]
        end = self._output.open_for_server()
        self._child = Child()
        try:
            self._child.spawn(argv, environ, self._plan["workDir"], end)
        except OSError as error:
            self._child.gone = True
            cause = f"cannot run {argv[0]}: {error.strerror}"
            self._failure = Failure(EXITED_BEFORE_READY, cause, "check the path and its execute permission")
            return False
        finally:
            os.close(end)
        return True

    def _loop(self) -> None:
        while not self._over():
            self._wait()
            self._reap()
            self._pump.run()
            self._tell_phases()
            if self._record["state"] == record.STARTING and not self._child.gone and self._failure is None:
                self._judge_readiness()
            self._free_disk_space()
            self._note_segments()
            if self._stop_requested and self._record["state"] in (record.STARTING, record.READY):
                self._record["state"] = record.STOPPING
                self._log.event(events.STOPPING, reason="asked to stop")
                self._save()
        self._finish()

    @property
    def _ending(self) -> bool:
        return self._child.gone or self._failure is not None or self._record["state"] == record.STOPPING

    def _over(self) -> bool:
        """Say whether the launch is at its end, and nothing is left of it."""
        return self._ending and self._sweep.run(
            self._record.get("server"), server_gone=self._child.gone, stopping=self._stop_requested
        )

    def _note_segments(self) -> None:
        """Record a new segment, and let the oldest go if there are too many."""
        if self._log.segments() != self._record.get("segments"):
            self._save()
            shipped = read_shipped(self._launch.shipped_path)
            segment_pruning.prune_shipped(self._log.segments()[:-1], self._plan["log"]["keep"] - 1, shipped)

    def _free_disk_space(self) -> None:
        """Give up the oldest segments when the disk gets full: what the server prints now matters more."""
        for gone in self._disk_space.free_space(self._log.segments()[:-1], self._log.writer.error):
            if not gone.shipped:
                self._log.event(
                    events.DROPPED, bytes=gone.bytes, reason=f"{gone.path.name} is deleted: {gone.reason}"
                )

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._wake.descriptor, select.POLLIN)
        if self._pump.ready_to_poll:
            poller.register(self._output.descriptor, select.POLLIN)
        if self._child.descriptor >= 0 and not self._child.gone:
            poller.register(self._child.descriptor, select.POLLIN)
        times = [self._pump.timeout(), segment_pruning.IDLE_CHECK_SECONDS if self._log.segment > 1 else None]
        if self._ending or self._stop_requested:
            times.append(self._sweep.next_at - time.monotonic())
        elif self._record["state"] == record.STARTING:
            times.append(self._readiness.timeout())
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
            if pid == self._child.pid:
                self._child.ended(status)
                self._child_ended()
        self._child.look()

    def _child_ended(self) -> None:
        if not self._in_pre_start or self._stop_requested or self._failure is not None:
            return
        if self._child.code == 0:
            self._in_pre_start = False
            self._start_server()
            return
        how = f"exit status {self._child.code}" if self._child.signal is None else self._child.how()
        self._failure = Failure(EXITED_BEFORE_READY, f"preStart failed: {how}", "its output is in the log")

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
        found = self._readiness.judge(in_pre_start=self._in_pre_start)
        if isinstance(found, Failure):
            self._failure = found
        elif found:
            self._become_ready()

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
        self._readiness.stop()
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
        disk_reserve.release(self._launch)
        self._report(state)
        if attempt is not None:
            self._run("tracetail.launcher.operations.crash_restart", following)

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
        return restart_policy.next_attempt(self._plan, self._record, time.time()) if crashed else None

    def _judge_end(self, was: str) -> tuple[str, record.Exit]:
        if was == record.STOPPING:
            stuck = ", ".join(f"{p.pid} ({processes.command_line(p.pid)})" for p in self._sweep.stuck)
            return record.STOPPED, exit_reason.stopped(self._child, stuck)
        if was == record.READY and self._record["engine"] == "custom" and self._child.code == 0:
            return record.STOPPED, exit_reason.stopped(self._child, "")
        finding = diagnosis.diagnose_log(self._engine, self._log.segments())
        holder = self._port_holder() if finding is not None and finding.about_port else ""
        left_behind = self._sweep.found
        return exit_reason.failed(
            was, self._child, self._failure, finding, left_behind=left_behind, port_holder=holder
        )

    def _stranger_at_port(self) -> str:
        """Return who listens at the port if it is surely not the engine.

        Not sure is a process in a container, which a wrapper of the engine's Python may have started; and a custom
        command may have anybody listen for it, as `docker run` does.
        """
        if self._record["engine"] == "custom" or self._record["port"] is None:
            return ""
        from tracetail.launcher.machine import ports  # noqa: PLC0415  (once for each start)

        holder = ports.holder(self._record["port"], self._plan["ready"]["host"])
        if holder is None or holder.pid is None or not processes.same_file_system_view(holder.pid):
            return ""
        ours = processes.members(self._launch.launch_id, self._record.get("server"), keeper=os.getpid())
        return "" if holder.pid in {process.pid for process in ours} else holder.describe()

    def _port_holder(self) -> str:
        from tracetail.launcher.machine import ports  # noqa: PLC0415  (only for a start that failed, and not small)

        port = self._record["port"]
        holder = None if port is None else ports.holder(port, self._plan["ready"]["host"])
        return "" if holder is None else holder.describe()

    def _report(self, event: str) -> None:
        """Have the callback sent by a child: the keeper neither waits for receivers nor imports what that takes."""
        if self._plan["callbackUrl"]:
            self._run("tracetail.launcher.callbacks", event)

    def _run(self, module: str, argument: str) -> None:
        """Run a helper that outlives the keeper if need be."""
        command = [sys.executable, "-I", "-m", module, str(self._launch.path), argument]
        environ = os.environ | {KEEPER_TAG: self._record["launchId"]}
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
            disk_reserve.release(self._launch)
            try:
                self._lock.write(self._record)
            except OSError as error:
                # The log's writer waits for room too, and the next change is saved in full.
                print(f"cannot write the record: {error}", file=sys.stderr)  # noqa: T201  (keeper.log)

    def _age(self) -> float:
        """Return for how many seconds a launch that is taken over has run: by its server's age, if there is one.

        The wall clock may have jumped since the start was written down.
        """
        server = self._record.get("server")
        if server is not None and server["bootId"] == boot_id():
            return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - server["startTime"] / CLOCK_TICKS)
        return max(0.0, (time.time_ns() - parse_stamp(self._record["startedAt"].encode())) / 1e9)

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 3)


def main() -> int:
    """Keep the launch whose directory is named."""
    launch = LaunchDir(Path(sys.argv[1]))
    if sys.argv[2] == plan.ADOPT:
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
