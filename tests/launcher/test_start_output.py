"""What `tracetail start` prints: for a person at a terminal, for a scheduler's pipe, and with --json."""

import json
import re
import socket

import pytest
from support.terminal import run_on_terminal

from tracetail.contract import shared_secret

READY = [["text", "ready now\n"], ["stay"]]
SLOWLY_READY = [["sleep", 1.5], ["text", "ready now\n"], ["stay"]]
FAILS = [["text", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"], ["exit", 1]]


@pytest.fixture
def panel(world):
    """A program that listens where the panel of this machine would."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        world.environ["TRACETAIL_PANEL_LISTEN"] = f"127.0.0.1:{listening.getsockname()[1]}"
        yield world.environ["TRACETAIL_PANEL_LISTEN"]


def on_terminal(world, steps, **more):
    environ = {name: value for name, value in world.environ.items() if name != "NO_COLOR"}
    return run_on_terminal(world.command("start", "--params", world.params(steps, **more)), environ)


def test_a_person_sees_colours_and_no_line_for_programs(world):
    shown = on_terminal(world, FAILS)

    assert shown.status == 10
    assert "TRACETAIL_RESULT" not in shown.text
    assert "\x1b[31m\x1b[1mcause: " in shown.raw


def test_a_pipe_ends_with_the_line_for_programs_and_has_no_colours(world):
    done = world.start(FAILS)

    assert done.result["exitStatus"] == 10
    assert "\x1b" not in done.stdout


def test_a_second_start_of_a_model_shows_how_long_it_will_take(world):
    assert world.start(SLOWLY_READY).status == 0
    assert world.run("stop", "--model-name", "m").status == 0

    shown = on_terminal(world, SLOWLY_READY)

    assert shown.status == 0
    assert re.search(r"is starting: \d+ s of about [1-9]\d* s", shown.text)
    assert "━" in shown.text


def test_json_is_one_object_on_stdout_and_all_else_on_stderr(world):
    done = world.run("start", "--json", "--params", world.params(READY))

    assert json.loads(done.stdout)["state"] == "ready"
    assert "is ready after" in done.stderr
    stopped = world.run("stop", "--model-name", "m", "--json")
    assert json.loads(stopped.stdout)["state"] == "stopped"


@pytest.mark.parametrize("arguments", [["--nosuch"], ["--params", "{"], ["--engine", "none"]])
def test_json_also_for_what_is_refused(world, arguments):
    done = world.run("start", "--json", *arguments)

    assert (done.status, json.loads(done.stdout)["exitStatus"]) == (2, 2)


def test_the_panels_page_is_printed_and_only_a_person_gets_a_token(world, panel):
    world.environ["TRACETAIL_PANEL_OPEN"] = "false"
    shared_secret.ensure(world.environ)
    done = world.start(FAILS, traceId="t-1")

    page = f"http://{panel}/panel?launchId={done.result['launchId']}&traceId=t-1"
    assert done.result["panelUrl"] == page
    assert f"\npanel: {page}\n" in done.stdout
    assert "#token=" in on_terminal(world, FAILS, traceId="t-1").text


def test_no_address_is_printed_where_no_panel_is(world):
    world.environ["TRACETAIL_PANEL_LISTEN"] = "127.0.0.1:9"

    assert "panel" not in world.start(FAILS).stdout


def test_a_panel_elsewhere_is_linked(world):
    world.environ["TRACETAIL_PANEL_URL"] = "https://logs.example"

    assert world.start(FAILS).result["panelUrl"].startswith("https://logs.example/panel?launchId=")


def test_a_machine_without_an_agent_is_warned_of(world):
    world.environ["TRACETAIL_AGENT_LISTEN"] = "127.0.0.1:9"
    assert "warning: no agent answers at 127.0.0.1:9" in world.start(FAILS).stderr

    with socket.create_server(("127.0.0.1", 0)) as listening:
        world.environ["TRACETAIL_AGENT_LISTEN"] = f"127.0.0.1:{listening.getsockname()[1]}"
        assert "no agent" not in world.start(FAILS).stderr
