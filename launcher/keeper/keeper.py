"""Keeps one launch, from the start of its server, or from a takeover, to the record of its end.

One loop in one thread: it moves output into the log, reaps children, handles signals and time-outs. Two other threads
write segments (segment_writer) and probe the server: whether it is ready (readiness), and still is (liveness).
"""

import gc
import os
import select
import signal
import time
from typing import TYPE_CHECKING

from tracetail.contract import events, identity, masking, record
from tracetail.contract.logline import Event
from tracetail.contract.process_tag import KEEPER_TAG
from tracetail.contract.processes import Process, process_ref
from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.contract.shipped import read_shipped
from tracetail.launcher import disk_reserve, engines, plan, probe, restart_policy
from tracetail.launcher.engines import nodes
from tracetail.launcher.engines.causes.cause import NO_TEXT
from tracetail.launcher.keeper import exit_reason, port_holder, segment_pruning
from tracetail.launcher.keeper.background_jobs import BackgroundJobs
from tracetail.launcher.keeper.child import Child
from tracetail.launcher.keeper.end_facts import EndFact
from tracetail.launcher.keeper.exit_reason import Failure
from tracetail.launcher.keeper.fifo import Output
from tracetail.launcher.keeper.finding import Finding
from tracetail.launcher.keeper.launch_log import LaunchLog
from tracetail.launcher.keeper.liveness import Problem
from tracetail.launcher.keeper.phase_watch import PhaseWatch
from tracetail.launcher.keeper.position import PositionFile
from tracetail.launcher.keeper.pump import Pump
from tracetail.launcher.keeper.readiness import Readiness
from tracetail.launcher.keeper.record_writer import RecordWriter
from tracetail.launcher.keeper.server_watch import ServerWatch
from tracetail.launcher.keeper.stop_request import StopRequest
from tracetail.launcher.keeper.teardown import INTERVAL_SECONDS, Teardown, patience
from tracetail.launcher.keeper.wakeup import Wakeup
from tracetail.launcher.log.stamper import Stamper, timestamp_now
from tracetail.launcher.machine import processes

if TYPE_CHECKING:
    from tracetail.launcher.keeper.foreground import Foreground
    from tracetail.launcher.keeper.server_container import ServerContainer

LOG_CLOSE_SECONDS = 3.0
POLL_MAX_SECONDS = 3600.0
_SERVING = (record.READY, record.UNHEALTHY)
_PRE_START, _PULL, _CREATE = "preStart", "pull", "create"


class Keeper:
    """The keeper of one launch."""

    def __init__(self, launch: LaunchDir, lock: LaunchLock, foreground: "Foreground | None" = None) -> None:
        """Args: launch: what to keep; lock: of the launch, held; foreground: what to do as a main process."""
        self._launch = launch
        self._foreground = foreground
        self._stop = StopRequest(plan.STOP_SIGNALS) if foreground else StopRequest()
        self._wakeup = Wakeup()
        self._plan = plan.read(launch)
        masking.use(self._plan["redaction"])
        self._writer = RecordWriter(launch, lock)
        self._record = self._writer.record
        self._engine = engines.load(self._record["engine"])
        self._output = Output(launch.output_path)
        self._child = Child()
        self._preparing = ""
        """The step before the server whose process the child is; "" if there is none."""
        self._steps = _preparation(self._plan)
        """The steps that are still to come: name and command."""
        self._failure: Failure | None = None
        """Why the start failed although the server runs."""
        self._jobs = BackgroundJobs(launch)
        self._teardown = Teardown(launch.launch_id, self._plan["stopTimeoutSec"], self._jobs.pids, time.monotonic)
        self._disk_space = segment_pruning.DiskSpaceGuard(self._plan["log"]["minFreeBytes"], launch.shipped_path)
        self._container = self._new_container()
        self._started = time.monotonic()
        self._phase_started = self._started
        ready = self._plan["ready"]
        self._host = ready["host"]
        self._watch = PhaseWatch(self._engine.phases, ready["pattern"] if ready["kind"] == plan.LOG else "")
        self._readiness = Readiness(
            self._plan,
            self._watch,
            self._wakeup.wake,
            lambda: port_holder.describe_foreign_listener(self._record, self._host),
        )
        self._server_watch = ServerWatch(self._plan, self._wakeup.wake, self._members)

    def _new_container(self) -> "ServerContainer | None":
        settings = self._plan["container"]
        if settings is None:
            return None
        # Only where there is one: it takes most of a MiB.
        from tracetail.launcher.keeper import server_container  # noqa: PLC0415

        return server_container.ServerContainer(settings, self._launch, self._wakeup.wake)

    # The life of a launch, from top to bottom.

    def start(self) -> int:
        """Start a new launch, and keep it; return the exit status of a keeper in the foreground, else 0."""
        self._open_log(Stamper(self._record["traceId"], self._record["instanceId"]), segment=1, size=0)
        self._register()
        self._readiness.expect_from(self._started)
        self._start_next()
        self._loop()
        if self._foreground is None:
            return 0
        from tracetail.launcher.keeper.foreground import exit_status  # noqa: PLC0415  (is loaded)

        return exit_status(self._record, self._child, self._failure)

    def adopt(self) -> None:
        """Keep a launch whose keeper has died."""
        from tracetail.launcher.keeper import takeover  # noqa: PLC0415  (few keepers take over)

        position = PositionFile(self._launch.path / "position")
        unfinished = takeover.find_unfinished(self._plan["log"], position.read())
        position.close()
        end = unfinished.end
        if end.last_event is not None and end.last_event.name == events.EXITED:
            self._record_logged_end(end.last_event)
            return
        stamper = Stamper(self._record["traceId"], self._record["instanceId"], end.last_ns)
        appended, left = takeover.complete(unfinished, self._output, stamper)
        self._open_log(stamper, segment=end.segment, size=end.size + appended)
        if left:
            self._log.append(left)
        self._register()
        self._log.event(events.ADOPTED, keeperPid=os.getpid())
        self._started -= takeover.seconds_since_start(self._record)
        if "server" in self._record:
            self._child.watch(self._record["server"])
            self._server_watch.begin(self._record["server"]["pid"])
            if self._container is not None and not self._child.exited:
                self._container.watch(self._record)
        else:
            self._child.exited = True
            self._failure = takeover.failure_without_server(self._launch.path / "keeper.log")
        if self._record["state"] != record.STARTING:
            self._watch.active = False
        elif not self._child.exited:
            self._readiness.expect_from(self._started)
            self._readiness.begin()
        self._stop.received = self._stop.received or self._record["state"] == record.STOPPING
        if self._record["state"] in _SERVING and not self._child.exited:
            self._server_watch.probe(self._record)
        self._loop()

    def _open_log(self, stamper: Stamper, *, segment: int, size: int) -> None:
        position = PositionFile(self._launch.path / "position")
        copy = self._foreground.copy if self._foreground else None
        self._log = LaunchLog(
            self._plan["log"], stamper, position, self._wakeup.wake, segment=segment, size=size, copy=copy
        )
        self._pump = Pump(self._output, self._log, self._watch.search)

    def _register(self) -> None:
        """Handle signals, become the parent of orphans, and record this process as the launch's keeper."""
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake the loop
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        if self._foreground:
            self._foreground.handle_signals(lambda: 0 if self._child.exited else self._child.pid)
        else:
            for ignored in (signal.SIGHUP, signal.SIGINT):
                signal.signal(ignored, signal.SIG_IGN)
        processes.become_subreaper()
        ref = process_ref(os.getpid())
        assert ref is not None
        self._record["keeper"] = ref
        self._write_record()

    def _start_next(self) -> None:
        """Start the next step before the server, or the server."""
        if not self._steps:
            self._preparing = ""
            self._start_server()
            return
        self._preparing, argv = self._steps.pop(0)
        if self._preparing == _CREATE and self._container is not None:
            self._container.write_environ()
        self._spawn(argv)

    def _start_server(self) -> None:
        argv = self._plan["argv"]
        if self._container is not None:
            self._record["container"]["id"] = self._container.container_id()
            argv = [*argv, self._record["container"]["id"]]
        if not self._spawn(argv):
            return
        ref = process_ref(self._child.pid)
        if ref is not None:
            self._record["server"] = ref
        self._server_watch.begin(self._child.pid)
        if self._container is not None:
            self._container.watch(self._record)
        self._write_record()
        import shlex  # noqa: PLC0415  (no server waits for this import)

        known = self._record
        self._log.event(
            events.STARTED,
            launchId=known["launchId"],
            service=known["service"],
            env=known["env"],
            engine=known["engine"],
            model=known["modelName"],
            servedName=known["servedName"],
            host=known["host"],
            port=known["port"],
            nodes=known.get("nodes"),
            nodeRank=known.get("nodeRank"),
            role=known.get("role"),
            pid=self._child.pid,
            jobId=known.get("jobId") or None,
            image=known.get("container", {}).get("image"),
            container=known.get("container", {}).get("name"),
            command=shlex.join(known["argv"]),
        )
        self._readiness.begin()

    def _spawn(self, argv: list[str]) -> bool:
        """Start a process of the launch; False if that fails, which is then the start's failure."""
        environ = {k: v for k, v in os.environ.items() if k != KEEPER_TAG} | self._plan["environ"]
        output = self._output.open_for_server()
        self._child = Child()
        try:
            with self._stop.unblocked():
                # What prints the id of the container that it has made is no line of the server.
                quiet = self._preparing == _CREATE
                self._child.spawn(argv, environ, self._plan["workDir"], output, errors_only=quiet)
        except OSError as error:
            self._child.exited = True
            self._failure = exit_reason.cannot_start(argv[0], error.strerror)
            return False
        finally:
            os.close(output)
        return True

    # The loop.

    def _loop(self) -> None:
        gc.enable()  # main() has no collection before the server runs
        while not self._is_over():
            self._wait()
            self._reap()
            self._pump.run()
            self._report_phases()
            self._record_container()
            if self._record["state"] == record.STARTING and not self._child.exited and self._failure is None:
                self._check_readiness()
            elif self._record["state"] in _SERVING and not self._child.exited:
                self._check_health()
            self._free_disk_space()
            self._record_segments()
            if self._stop.received and self._record["state"] in (record.STARTING, *_SERVING):
                self._begin_stop()
        self._finish()

    def _begin_stop(self) -> None:
        self._record["state"] = record.STOPPING
        who = {}
        if self._stop.sender is not None:
            self._record["stoppedBy"] = self._stop.sender
            who = dict(self._stop.sender)
        self._log.event(events.STOPPING, reason="asked to stop", **who)
        self._write_record()

    @property
    def _ending(self) -> bool:
        return self._child.exited or self._failure is not None or self._record["state"] == record.STOPPING

    def _is_over(self) -> bool:
        """Return whether the launch is ending and none of its processes is left."""
        if not self._ending or not self._container_ended():
            return False
        server_exited = self._child.exited or (self._container is not None and not self._preparing)
        return self._teardown.run(
            self._record.get("server"),
            record.container_init(self._record),
            was_ready="readyAt" in self._record,
            server_exited=server_exited,
            stopping=self._stop.received,
        )

    def _container_ended(self) -> bool:
        """Return whether the launch has no container, or none any more. Until then its client is left alone."""
        if self._container is None:
            return True
        was_ready = "readyAt" in self._record
        return self._container.run_end(
            patience(self._plan["stopTimeoutSec"], was_ready=was_ready),
            asked=self._stop.received or self._failure is not None,
            starting=self._record["state"] == record.STARTING,
            creating=self._preparing == _CREATE and not self._child.exited,
        )

    def _wait(self) -> None:
        poller = select.poll()
        poller.register(self._wakeup.descriptor, select.POLLIN)
        poller.register(self._stop.descriptor, select.POLLIN)
        if self._pump.ready_to_poll:
            poller.register(self._output.descriptor, select.POLLIN)
        if self._child.descriptor >= 0 and not self._child.exited:
            poller.register(self._child.descriptor, select.POLLIN)
        times = [self._pump.timeout(), segment_pruning.IDLE_CHECK_SECONDS if self._log.segment > 1 else None]
        if self._ending or self._stop.received:
            # A container's end wakes the loop.
            waiting = INTERVAL_SECONDS if self._container is not None else 0.0
            times.append(max(waiting, self._teardown.next_at - time.monotonic()))
        elif self._record["state"] == record.STARTING:
            times.append(self._readiness.timeout())
        timeout = min((t for t in times if t is not None), default=None)
        poller.poll(None if timeout is None else min(max(0.0, timeout), POLL_MAX_SECONDS) * 1000)
        self._wakeup.clear()
        self._stop.read()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            self._jobs.pids.discard(pid)
            if pid == self._child.pid:
                self._child.set_exit(status)
                self._after_step()
        self._child.poll()

    def _after_step(self) -> None:
        """Start what comes next if the child that ended was a successful step before the server."""
        if self._preparing == _CREATE and self._container is not None:
            self._container.remove_environ()
        if not self._preparing or self._stop.received or self._failure is not None:
            return
        if self._child.code == 0:
            if self._preparing == _PULL:
                self._watch.passed.append("image pulled")
                self._report_phases()
            self._start_next()
        elif self._preparing == _PRE_START:  # what pull and create print names the cause
            killed = self._child.signal is not None
            how = self._child.describe_exit() if killed else f"exit status {self._child.code}"
            self._failure = exit_reason.pre_start_failed(how)

    def _report_phases(self) -> None:
        if not self._watch.passed:
            return
        now = time.monotonic()
        for name in self._watch.passed:
            seconds = round(now - self._phase_started, 3)
            self._record.setdefault("phases", []).append({"name": name, "seconds": seconds})
            self._log.event(events.PHASE, name=name, seconds=seconds)
            self._phase_started = now
        self._watch.passed.clear()
        self._write_record()

    def _check_readiness(self) -> None:
        found = self._readiness.check(preparing=self._preparing)
        if isinstance(found, Failure):
            self._failure = found
        elif found:
            self._become_ready()

    def _become_ready(self) -> None:
        self._watch.active = False
        self._record["state"] = record.READY
        self._record["readyAt"] = timestamp_now()
        port = self._record["port"]
        if port is not None:
            self._record["url"] = probe.url(self._host, port, tls=self._readiness.tls)
        self._log.event(
            events.READY,
            seconds=self._elapsed(),
            pid=self._record["server"]["pid"],
            port=port,
            url=self._record.get("url"),
        )
        self._write_record()
        self._send_callback("ready")
        self._server_watch.probe(self._record)

    def _members(self) -> list[Process]:
        return processes.members(
            self._launch.launch_id,
            self._record.get("server"),
            container=record.container_init(self._record),
            keeper=os.getpid(),
            spare=list(self._jobs.pids),
        )

    def _record_container(self) -> None:
        """Record what was found out about the container; it is unhealthy while its runtime does not answer."""
        if self._container is None or not self._container.apply(self._record):
            return
        init = record.container_init(self._record)
        if init is not None and not self._ending:
            self._server_watch.enter(init["pid"])
        problem = self._container.problem
        if problem is not None and self._record["state"] == record.READY:
            why = Problem(problem.cause, problem.hint, *problem.zh)
            self._server_watch.report_problem(self._record, self._log, why)
            self._send_callback(events.UNHEALTHY)
        self._write_record()

    def _check_health(self) -> None:
        changed = self._server_watch.apply(self._record, self._log)
        if changed:
            self._write_record()
            self._send_callback(changed)

    def _free_disk_space(self) -> None:
        """Delete the oldest segments when the disk gets full: new output matters more than old."""
        for deleted in self._disk_space.free_space(self._log.segments()[:-1], self._log.writer.error):
            if not deleted.shipped:
                reason = f"{deleted.path.name} is deleted: {deleted.reason}"
                self._log.event(events.DROPPED, bytes=deleted.bytes, reason=reason)

    def _record_segments(self) -> None:
        """Record a new segment, and delete the oldest if there are too many."""
        if self._log.segments() != self._record.get("segments"):
            self._write_record()
            self._prune_segments()

    def _prune_segments(self) -> None:
        closed, keep = self._log.segments()[:-1], self._plan["log"]["keep"] - 1
        if self._foreground and self._foreground.stdout_only:
            segment_pruning.prune(closed, keep)
        else:
            segment_pruning.prune_shipped(closed, keep, read_shipped(self._launch.shipped_path))

    # The end.

    def _finish(self) -> None:
        """Write the end into the log and the record, and report it."""
        self._reap()  # what has ended since the loop looked last: its status is that of the launch
        self._readiness.stop()
        self._server_watch.end()
        self._pump.finish()
        self._report_phases()
        self._log.writer.wait(LOG_CLOSE_SECONDS)
        if self._container is not None:
            self._container.remove_environ()
            self._container.put_status(self._child, asked=self._stop.received or self._failure is not None)
        state, end = self._judge_end(self._record["state"])
        self._record["exit"] = end
        if self._container is not None:
            self._container.put_exit(self._record)
        fields = {"seconds": self._elapsed(), **exit_reason.to_event_fields(end)}
        if state == record.FAILED:
            self._log.event(events.FAILED, **fields, exitStatus=end["exitStatus"])
        attempt = self._restart_attempt(state)
        following = identity.new_launch_id(time.time())
        if attempt is not None:
            self._log.event(events.RESTARTED, launchId=following, attempt=attempt)
        self._log.event(events.EXITED, state=state, **fields)
        self._log.close(LOG_CLOSE_SECONDS)
        self._prune_segments()
        self._record["state"] = state
        self._record["endedAt"] = timestamp_now()
        self._record.pop("health", None)
        self._write_record()
        disk_reserve.release(self._launch)
        self._send_callback(state)
        if attempt is not None:
            self._jobs.restart(following)
        if self._foreground:
            self._foreground.finish(self._record, self._jobs.pids, self._reap)
            self._foreground.copy.close(LOG_CLOSE_SECONDS)

    def _record_logged_end(self, exited: Event) -> None:
        """Record the end that is in the log already: the keeper before died between log and record."""
        self._record["state"] = exited.fields["state"]
        self._record["exit"] = exit_reason.from_event(exited)
        self._record["endedAt"] = timestamp_now()
        self._writer.write()
        self._send_callback(exited.fields["state"])

    def _judge_end(self, before: str) -> tuple[str, record.Exit]:
        """Return the state and the exit of the launch, whose state was `before`."""
        if before == record.STOPPING:
            stuck = [f"{p.pid} ({processes.command_line(p.pid)})" for p in self._teardown.stuck]
            if self._container is not None and self._container.left:
                stuck.append(f"container {self._record['container']['name']}: {self._container.left}")
            return record.STOPPED, exit_reason.stopped(self._child, ", ".join(stuck))
        if self._ended_well(before):
            return record.STOPPED, exit_reason.stopped(self._child, "")
        segments, port = self._log.segments(), self._record["port"]
        redaction = self._plan["redaction"]
        finding = exit_reason.diagnose(self._engine, segments, self._child, self._failure, port, redaction)
        about_port = exit_reason.is_about_port(before, finding) and self._failure is None
        holder = port_holder.describe_holder(self._record, self._host) if about_port else NO_TEXT
        return exit_reason.failed(
            before,
            self._child,
            self._failure,
            exit_reason.weigh(
                finding,
                self._end_facts(finding),
                killed=self._failure is None and exit_reason.is_killed(self._child),
            ),
            left_behind=self._teardown.found,
            port_holder=holder,
            in_foreground="foreground" in self._plan,
        )

    def _ended_well(self, before: str) -> bool:
        """Return whether a command that ended by itself has done what it was started for. A follower never has."""
        alive = self._foreground is not None and self._plan["ready"]["kind"] == plan.ALIVE  # `run -- date`
        done = before in _SERVING or (alive and self._failure is None)
        serves = self._record["engine"] != "custom" or self._record.get("role") == nodes.FOLLOWER
        return done and not serves and self._child.code == 0

    def _end_facts(self, finding: Finding | None) -> list[EndFact]:
        found = list(self._server_watch.facts(exit_reason.signal_of(finding, self._child)))
        if self._container is None or self._failure is not None or self._preparing not in ("", _CREATE):
            return found
        said = exit_reason.unrecognised_error(finding)
        found += self._container.facts(made="init" in self._record.get("container", {}), said=said)
        return sorted(found, key=lambda fact: not fact.certain)

    def _restart_attempt(self, state: str) -> int | None:
        """Return the number of the restart that follows this end; None if none does."""
        crashed = state == record.CRASHED or (state == record.FAILED and self._plan["attempt"] > 0)
        return restart_policy.next_attempt(self._plan, self._record, time.time()) if crashed else None

    def _send_callback(self, event: str) -> None:
        if self._plan["callbackUrl"]:
            self._jobs.send_callback(event)

    def _write_record(self) -> None:
        self._record["segments"] = self._log.segments()
        self._writer.write()

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._started, 3)


def _preparation(settings: plan.Plan) -> list[tuple[str, list[str]]]:
    """Return the steps before the server: name and command."""
    container = settings["container"]
    steps = [(_PRE_START, settings["preStart"])]
    if container is not None:
        steps += [(_PULL, container["pull"]), (_CREATE, container["create"])]
    return [(name, argv) for name, argv in steps if argv]
