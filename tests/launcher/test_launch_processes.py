"""A stop ends exactly the processes that the metrics of a launch count."""

import os
import signal

import pytest
from prometheus_client import CollectorRegistry

from tracetail.agent.metrics.server_collector import ServerMetrics
from tracetail.contract.processes import is_alive, process_ref
from tracetail.launcher.machine import processes

CHILDREN = {
    "in the server's session, without an environment": ["fork", [["empty-environment"]]],
    "in another session, with the tag only": ["fork-away", [["close-output"]]],
    "in another session, with the FIFO only": ["fork-away", [["empty-environment"]]],
    "in another session, found by its parent, the keeper, only": [
        "fork-away",
        [["close-output"], ["empty-environment"]],
    ],
}


@pytest.fixture
def launch_with_children(world, tmp_path, wait_until):
    """Return a launch whose server has one child of each kind."""
    up = [tmp_path / f"up{number}" for number in range(len(CHILDREN))]
    forks = [
        [fork, [*steps, ["touch", str(path)], ["stay"]]]
        for (fork, steps), path in zip(CHILDREN.values(), up, strict=True)
    ]
    launch = world.launch(world.start([*forks, ["text", "ready now\n"], ["stay"]], stopTimeoutSec=5).result)
    wait_until(lambda: all(path.exists() for path in up))
    return launch


def counted(world):
    """Return the number of processes of each launch in the metrics, by launchId."""
    registry = CollectorRegistry()
    registry.register(ServerMetrics(lambda: [world.state], keep_ended_seconds=600, now=lambda: 0.0))
    return {
        sample.labels["launch_id"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "tracetail_server_processes"
    }


def members(launch, *, keeper):
    """Return the processes that a stop of a launch ends."""
    record = launch.read()
    return processes.members(launch.launch_id, record["server"], keeper=record["keeper"]["pid"] if keeper else 0)


def test_metrics_and_stop_agree_on_the_processes_of_each_launch(world, launch_with_children):
    launch = launch_with_children
    other = world.launch(world.start([["fork", [["stay"]]], ["text", "ready now\n"], ["stay"]], modelName="n").result)
    found = {one: members(one, keeper=True) for one in (launch, other)}

    assert (len(found[launch]), len(found[other])) == (1 + len(CHILDREN), 2)
    assert counted(world) == {one.launch_id: len(found[one]) for one in found}
    assert not {process.pid for process in found[launch]} & {process.pid for process in found[other]}
    assert launch.read()["keeper"]["pid"] not in {process.pid for process in found[launch]}

    refs = [process_ref(process.pid) for process in found[launch]]
    assert world.run("stop", "--model-name", "m").status == 0
    assert not any(is_alive(ref) for ref in refs)
    assert counted(world) == {other.launch_id: 2}


def test_metrics_and_stop_agree_after_the_keeper_has_died(world, launch_with_children, wait_until):
    launch = launch_with_children
    orphans = {process.pid for process in members(launch, keeper=True)}
    os.kill(launch.read()["keeper"]["pid"], signal.SIGKILL)
    wait_until(lambda: not launch.lock_held())

    found = members(launch, keeper=False)

    # Only the keeper knew the child that has neither session, tag nor FIFO.
    lost = orphans - {process.pid for process in found}
    for pid in lost:
        os.kill(pid, signal.SIGKILL)
    assert len(lost) == 1
    assert counted(world) == {launch.launch_id: len(found)}
