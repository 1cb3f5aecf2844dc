"""Servers in containers of real runtimes: how they start, how they end, and that nothing of them is left.

`pytest -m field -n 0 -s tests/launcher/test_containers.py` prints how each case ended, as a table.
"""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from support.container_runtimes import (
    DOCKER_PROGRAMS,
    IMAGE,
    PODMAN_PROGRAMS,
    DockerEngine,
    Podman,
    docker_engine,
    podman_storage,
)
from support.waiting import kill, wait_for

from tracetail.agent.metrics.server_collector import ServerMetrics
from tracetail.contract import record
from tracetail.contract.processes import is_alive

pytestmark = [pytest.mark.field, pytest.mark.timeout(180)]

SERVE = "echo $TRACE_ID > /tmp/health; echo ready now; exec httpd -f -h /tmp -p {port}"
IGNORES_TERM = "trap '' TERM; echo up > /tmp/health; httpd -f -h /tmp -p {port} & echo ready now; wait; wait"
GROWS = "echo ready now; sleep 1; exec tail /dev/zero"


class Row(NamedTuple):
    """How one case ended."""

    runtime: str
    case: str
    command: str
    status: int
    state: str
    cause: str
    left: int


ROWS: list[Row] = []


@pytest.fixture(scope="module")
def table():
    """Print how the cases ended, after the last."""
    yield
    if ROWS:
        print(f"\n\n{'runtime':8}{'case':34}{'exit':>16}  {'state':9}{'cause':32}containers left")
        for row in sorted(ROWS):
            exit_status = f"{row.command} {row.status}"
            print(f"{row.runtime:8}{row.case:34}{exit_status:>16}  {row.state:9}{row.cause:32}{row.left:>15}")


@pytest.fixture(scope="module")
def docker():
    with docker_engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def podman():
    with podman_storage() as storage:
        yield storage


@pytest.fixture(
    params=[
        pytest.param("docker", marks=[pytest.mark.needs(name) for name in DOCKER_PROGRAMS]),
        pytest.param("podman", marks=[pytest.mark.needs(name) for name in PODMAN_PROGRAMS]),
    ]
)
def runtime(request):
    return request.getfixturevalue(request.param)


class Servers:
    """Launches in containers of one runtime, in one state directory."""

    def __init__(self, world, runtime: DockerEngine | Podman) -> None:
        self.world = world
        self.runtime = runtime
        self.name = "docker" if isinstance(runtime, DockerEngine) else "podman"
        world.environ = {**world.environ, **runtime.environ}

    def start(self, script, *, container=None, timeout=120.0, **more):
        given = {
            "modelName": "m",
            "engine": "custom",
            "command": ["/bin/sh", "-c", script],
            "container": {"image": IMAGE, "runtime": self.name, **(container or {})},
            "stopTimeoutSec": 3,
            **more,
        }
        return self.world.run("start", "--params", _json(given), timeout=timeout)

    def ready(self, script, **more):
        started = self.start(script, **{"readyWhen": "log:ready now", **more})
        assert started.status == 0, (started.stdout, started.stderr)
        launch = self.world.launch(started.result)
        wait_for(lambda: "init" in launch.read()["container"], "the container's first process")
        return launch

    def left(self):
        """Return the containers of this state directory that the runtime still knows."""
        label = f"label=tracetail.stateDir={self.world.state}"
        return self.runtime("ps", "--all", "--quiet", "--filter", label).split()

    def note(self, case, command, finished, launch):
        """Remember how a case ended, for the table; nothing of its container may be left."""
        known = launch.read() if launch is not None else {}
        cause = known.get("exit", {}).get("causeCode", "")
        ROWS.append(Row(self.name, case, command, finished.status, known.get("state", ""), cause, len(self.left())))
        assert not self.left(), (launch.path / "keeper.log").read_text()
        if "container" in known and "init" in known["container"]:
            assert not is_alive(known["container"]["init"])

    def crashed(self, launch):
        """Wait for the end of a launch that nobody has asked for; return `status` and the record."""
        known = self.world.ended(launch)
        assert known["state"] == record.CRASHED, known
        return self.world.run("status", "--launch", launch.launch_id), known


@pytest.fixture
def servers(world, runtime, table):
    made = Servers(world, runtime)
    yield made
    with contextlib.suppress(AssertionError):
        if ids := made.left():
            runtime("rm", "--force", *ids)


def _json(value):
    import json

    return json.dumps(value)


def test_a_server_in_a_container_starts_and_stops(servers, free_port, world):
    port = free_port()
    environ = {"SECRET": "s3cret-value", "LINES": "one\ntwo"}
    script = 'echo "secret $SECRET, lines $LINES"; ' + SERVE.format(port=port)
    started = servers.start(script, port=port, traceId="t-1", environ=environ)
    assert started.status == 0, (started.stdout, started.stderr)
    launch = world.launch(started.result)
    known = launch.read()
    assert "secret s3cret-value, lines one\ntwo\nready now" in world.output(launch).decode()
    labels = servers.runtime("inspect", "--format", "{{json .Config.Labels}}", known["container"]["id"])
    assert f'"tracetail.launchId":"{launch.launch_id}"' in labels
    assert '"tracetail.traceId":"t-1"' in labels
    for place in (launch.record_path, *launch.path.glob("container.*"), Path(known["logFile"])):
        assert "s3cret-value" not in place.read_text() or place == Path(known["logFile"])
    assert not (launch.path / "container.env").exists()

    stopped = world.run("stop", "--launch", launch.launch_id)
    assert stopped.status == 0, stopped.stdout
    assert stopped.result["state"] == "stopped"
    ended = launch.read()["exit"]
    assert (ended["signal"], ended["container"]["exitCode"]) == ("SIGTERM", 143)
    assert ended["container"]["imageDigest"].startswith("sha256:")
    servers.note("polite stop", "stop", stopped, launch)


def test_a_container_that_ignores_sigterm_is_killed(servers, free_port, world):
    port = free_port()
    launch = servers.ready(IGNORES_TERM.format(port=port), port=port, stopTimeoutSec=1)
    stopped = world.run("stop", "--launch", launch.launch_id)
    assert stopped.status == 0, stopped.stdout
    assert launch.read()["exit"]["signal"] == "SIGKILL"
    servers.note("ignores TERM", "stop", stopped, launch)


def test_a_container_whose_client_is_killed_is_stopped(servers, world):
    launch = servers.ready("echo ready now; exec sleep 1000")
    os.kill(launch.read()["server"]["pid"], signal.SIGKILL)
    finished, known = servers.crashed(launch)
    assert known["exit"]["causeCode"] == "container_client_ended"
    servers.note("client killed", "status", finished, launch)


def test_a_container_is_stopped_by_the_next_keeper(servers, world):
    launch = servers.ready("echo ready now; sleep 1000")
    kill(launch.read()["keeper"])
    stopped = world.run("stop", "--launch", launch.launch_id)
    assert stopped.status == 0, stopped.stdout
    servers.note("keeper killed", "stop", stopped, launch)


def test_a_container_that_lost_keeper_and_client_is_stopped(servers, world):
    launch = servers.ready("echo ready now; sleep 1000")
    known = launch.read()
    kill(known["keeper"], known["server"])
    assert world.run("ps").stdout.count("ready") == 1
    stopped = world.run("stop", "--launch", launch.launch_id)
    assert stopped.status == 0, stopped.stdout
    servers.note("keeper and client killed", "stop", stopped, launch)


def test_a_memory_limit_that_was_reached_is_the_cause(servers, world):
    launch = servers.ready(GROWS, container={"args": ["--memory=24m"]})
    finished, known = servers.crashed(launch)
    assert known["exit"]["causeCode"] == "out_of_memory"
    # On a machine with control groups of both versions podman does not find out; the group's own counter shows it.
    assert known["exit"]["container"]["oomKilled"] is True or servers.name == "podman"
    servers.note("OOM-killed by --memory", "status", finished, launch)


def test_what_the_runtime_refuses_is_the_cause(servers, world):
    started = servers.start(SERVE, container={"args": ["--memory=1k"]})
    launch = world.launch(started.result)
    known = launch.read()
    assert (started.status, known["exit"]["causeCode"]) == (10, "container_not_started")
    assert "emory limit" in started.result["cause"]
    servers.note("a limit that is too low", "start", started, launch)


def test_a_container_that_somebody_removed_is_named(servers, world):
    launch = servers.ready("echo ready now; sleep 300 & wait")
    servers.runtime("rm", "--force", *servers.left())
    status, known = servers.crashed(launch)
    # podman sends SIGTERM and then removes it, unless the keeper, which sees the end, has done so before.
    causes = {"docker": ["container_removed"], "podman": ["container_removed", "terminated"]}
    assert known["exit"]["causeCode"] in causes[servers.name]
    servers.note("removed by somebody", "status", status, launch)


def test_an_image_that_is_not_there_is_named(servers, world):
    started = servers.start("true", container={"image": "localhost/nothing:1", "pull": "never"})
    assert started.status == 15
    assert started.result["causeCode"] == "image_missing"
    assert "localhost/nothing:1" in started.stderr
    servers.note("image missing, pull: never", "start", started, world.launch(started.result))


def test_an_image_that_cannot_be_pulled_is_the_cause(servers, world):
    started = servers.start("true", container={"image": "localhost:1/nothing:1"})
    assert started.status == 10
    assert started.result["causeCode"] == "image_not_pulled", started.stdout
    servers.note("image missing, pull fails", "start", started, world.launch(started.result))


def test_a_port_of_another_container_is_refused_with_its_name(servers, free_port, world):
    port = free_port()
    name = f"web-{port}"
    servers.runtime.run("--name", name, command=("/bin/httpd", "-f", "-p", str(port)))
    started = servers.start(SERVE.format(port=port), port=port)
    assert started.status == 12
    assert name in started.stderr
    servers.note("port taken by another container", "start", started, world.launch(started.result))
    servers.runtime("rm", "--force", name)


def test_gc_removes_containers_whose_launch_is_gone_and_no_others(servers, world):
    launch = servers.ready("echo ready now; exec sleep 1000")
    other = servers.runtime.run("--name", "tracetail-20260101T000000-abcdef", command=("/bin/sleep", "1000"))
    assert "container" not in world.run("gc").stdout
    known = launch.read()
    kill(known["keeper"], known["server"])
    shutil.rmtree(launch.path)
    done = world.run("gc")
    assert f"{servers.name} container tracetail-{launch.launch_id}" in done.stdout, done.stdout
    assert not servers.left()
    assert servers.runtime("inspect", "--format", "{{.State.Running}}", other) == "true"
    servers.runtime("rm", "--force", other)
    servers.note("launch gone, gc", "gc", done, None)


def test_metrics_count_the_processes_in_the_container(servers, world):
    launch = servers.ready("sleep 1000 & echo ready now; exec sleep 1000")
    metrics = ServerMetrics(lambda: [world.state], keep_ended_seconds=60, now=time.time)
    samples = {sample.name: sample.value for family in metrics.collect() for sample in family.samples}
    # The client (podman's has a monitor, too), the container's init, and both commands.
    assert samples["tracetail_server_processes"] >= 4
    assert samples["tracetail_server_resident_memory_bytes"] > 0
    shown = world.run("status", "--launch", launch.launch_id).stdout
    assert f"{servers.name} {launch.read()['container']['id'][:12]}" in shown
    assert f"custom ({servers.name})" in world.run("ps").stdout
    world.run("stop", "--launch", launch.launch_id)
    assert not servers.left()


@pytest.mark.needs("dockerd")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_a_daemon_that_is_restarted_leaves_no_container(docker, world, table, number):
    servers = Servers(world, docker)
    launch = servers.ready("echo ready now; exec sleep 1000")
    docker.end(number)
    wait_for(lambda: launch.read()["state"] != record.READY, "the keeper to notice", 60)
    docker.start()
    finished, known = servers.crashed(launch)
    assert known["exit"]["causeCode"] == "container_runtime_restarted"
    case = "daemon restarted" if number == signal.SIGTERM else "daemon killed and restarted"
    servers.note(case, "status", finished, launch)


@pytest.mark.needs("dockerd")
def test_a_stop_without_a_daemon_is_completed_once_it_is_back(docker, world, table):
    servers = Servers(world, docker)
    launch = servers.ready("trap '' TERM; echo ready now; while :; do sleep 1; done", stopTimeoutSec=1)
    docker.end(signal.SIGKILL)
    stopped = world.run("stop", "--launch", launch.launch_id, timeout=120)
    assert stopped.status == 14, stopped.stdout
    assert "docker does not answer" in stopped.result["cause"]
    assert launch.lock_held(), (launch.path / "keeper.log").read_text()
    docker.start()
    known = world.ended(launch)
    assert known["state"] in (record.CRASHED, record.STOPPED)
    servers.note("stop while the daemon is away", "stop", stopped, launch)
