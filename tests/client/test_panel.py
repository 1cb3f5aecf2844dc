"""The Python client against a real panel: launches of other machines, pages of lines, lines that come, tokens."""

import time

import pytest
from support.environment import guarded
from support.machine import Machine
from support.store_push import EVENT, push, token_of

from tracetail.client import AsyncClient, Client, LaunchNotFoundError, NotOnThisMachineError, PanelError

LAUNCH = "20261122T211210-4bf92f"
LABELS = {
    "traceId": "t1",
    "launchId": LAUNCH,
    "instanceId": "i1",
    "service_name": "m",
    "env": "test",
    "host": "node-b",
}


@pytest.fixture
def panel(tmp_path, own_environment):
    """Return a machine with store and panel, which ask for a token; the client is that of another machine."""
    machine = Machine(tmp_path)
    machine.environ = guarded(machine.environ)
    machine.start("store")
    machine.start("panel")
    yield machine
    machine.close()


@pytest.fixture
def own_environment(tmp_path_factory, monkeypatch):
    """Give the client's process a state directory of its own."""
    monkeypatch.setenv("TRACETAIL_STATE_DIR", str(tmp_path_factory.mktemp("elsewhere")))


@pytest.mark.field
def test_a_launch_of_another_machine_is_found_and_its_lines_are_read(panel):
    begun = time.time_ns() - 60 * 10**9
    lines = [(begun + n + 1, f"line {n}", {"level": ["info", "error"][n % 2]}) for n in range(12_000)]
    push(panel, LABELS, (begun, "started service=test/m:8000 port=8000 pid=7 command=vllm", EVENT), *lines[:6000])
    push(panel, LABELS, *lines[6000:])
    push(
        panel,
        LABELS,
        (begun + 10**9, 'exited state=crashed seconds=9 cause="CUDA out of memory" hint="use less"', EVENT),
    )
    client = Client(panel.addresses["panel"], token_of(panel, "t1"))

    (launch,) = client.find(model="m")
    assert (launch.launch_id, launch.state, launch.cause) == (LAUNCH, "crashed", "CUDA out of memory")
    assert (launch.hint, launch.info.port, launch.info.host) == ("use less", 8000, "node-b")
    assert [line.text for line in launch.logs(grep="line")] == [f"line {n}" for n in range(12_000)]
    assert [line.text for line in launch.logs(level="error", tail=2)] == ["line 11997", "line 11999"]
    assert [line.text for line in launch.logs(regex="^LINE 1.$", ignore_case=True)] == [
        f"line {n}" for n in range(10, 20)
    ]
    assert [line.text for line in launch.logs(follow=True)][-1].startswith("exited")
    assert client.traces()[0].state == "crashed"
    assert launch.panel_url.startswith(f"{panel.addresses['panel']}/panel?launchId={LAUNCH}")
    with pytest.raises(NotOnThisMachineError, match=f"on node-b: tracetail stop --launch {LAUNCH}"):
        launch.stop()
    with pytest.raises(LaunchNotFoundError):
        client.launch("20261122T211210-aaaaaa")
    with pytest.raises(PanelError, match="TRACETAIL_TOKEN"):
        Client(panel.addresses["panel"]).find()


@pytest.mark.field
async def test_lines_that_come_are_followed_until_the_launch_has_ended(panel):
    now = time.time_ns()
    push(
        panel,
        LABELS,
        (now - 10**9, "started service=test/m", EVENT),
        (now - 10**9 + 1, "INFO one", {"level": "info"}),
    )
    launch = await AsyncClient(panel.addresses["panel"], token_of(panel, "t1")).launch(LAUNCH)
    seen = []
    async for line in launch.logs(follow=True):
        seen.append(line.text)
        if line.text == "INFO one":
            push(panel, LABELS, (time.time_ns(), "INFO two", {"level": "info"}))
        if line.text == "INFO two":
            push(panel, LABELS, (time.time_ns(), "exited state=stopped seconds=1 exitCode=0", EVENT))
    assert seen == ["started service=test/m", "INFO one", "INFO two", "exited state=stopped seconds=1 exitCode=0"]


def test_a_panel_that_is_not_there_is_named():
    with pytest.raises(PanelError, match=r"http://127.0.0.1:9 does not answer: .*refused"):
        Client("http://127.0.0.1:9", "x").find()
    with pytest.raises(PanelError, match="is not the address of a panel"):
        Client("logs.example.com")
