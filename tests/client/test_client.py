"""The Python client on one machine: starts, waits, reads, stops; and says why a start failed."""

import asyncio
import re
import subprocess
import sys
import typing
import urllib.request
from datetime import timedelta
from html import escape
from pathlib import Path

import pytest
from support.client_servers import FAILING, OUT_OF_MEMORY, SERVER
from support.waiting import eventually

from tracetail import client as tracetail_client
from tracetail.client import (
    AsyncClient,
    Client,
    LaunchNotFoundError,
    PanelError,
    StartError,
    StartParams,
    WaitTimeoutError,
)
from tracetail.launcher.params import Container, Params


def test_a_server_is_started_read_and_stopped(client):
    with client.start(**SERVER) as launch:
        assert launch.state == "ready"
        assert launch.url.endswith(f":{launch.info.port}")
        with urllib.request.urlopen(f"{launch.url}/v1/models", timeout=10) as answer:
            assert answer.status == 200
        assert [phase.name for phase in launch.phases]
        errors, texts = list(launch.logs(level="error")), [line.text for line in launch.logs()]
        assert errors == []
        assert any("Application startup complete" in text for text in texts), texts
        assert len(list(launch.logs(tail=1))) == 1
        assert list(launch.logs(until=timedelta(hours=1))) == []
        assert [found.launch_id for found in client.find(model="m", state="ready")] == [launch.launch_id]
        assert [trace.trace_id for trace in client.traces()] == [launch.trace_id]
        shown = launch._repr_html_()
        assert launch.launch_id in shown
        assert "ready" in shown
    assert launch.state == "stopped"
    assert client.find(state="ready") == []
    assert client.launch(launch.launch_id).state == "stopped"


def test_a_server_that_does_not_start_is_an_error_that_can_be_read_aloud(client):
    with pytest.raises(StartError) as failed:
        client.start(**FAILING)
    error = failed.value
    text = str(error)
    assert error.cause_code == "gpu_out_of_memory"
    assert error.hint
    assert f"evidence: {OUT_OF_MEMORY}" in text
    assert f"all lines: tracetail logs {error.launch_id}" in text
    launch = client.launch(error.launch_id)
    assert (launch.state, launch.cause) == ("failed", error.cause)
    with pytest.raises(StartError, match="did not start"):
        launch.wait()
    html = launch._repr_html_()
    assert escape(error.cause) in html


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"model_name": "m", "engine": "tgi"}, "engine"),
        ({"model_name": "m", "modelpath": "/nowhere"}, "modelPath"),
    ],
)
def test_parameters_that_cannot_be_used_are_named(client, params, said):
    with pytest.raises(StartError, match=said) as failed:
        client.start(**params)
    assert failed.value.exit_status == 2


@pytest.mark.field
def test_arguments_that_cannot_be_meant_are_named_with_what_is_expected(client):
    with pytest.raises(ValueError, match=r"state is 'up': expected one of starting, ready, .*failed"):
        client.find(state="up")
    with client.start(**SERVER) as launch:
        with pytest.raises(ValueError, match="until is 'up': expected ready or ended"):
            launch.wait(until="up")  # waited for ever
        for filters, message in (
            ({"level": "eror"}, "level is 'eror': expected one of debug, info"),
            ({"since": "10 minutes"}, "since is '10 minutes': expected a datetime, a timedelta, or a text as 10m"),
            ({"until": "soon"}, "until is 'soon': expected"),
            ({"tail": -1}, "tail is -1: expected a number of lines"),
        ):
            with pytest.raises(ValueError, match=message):
                launch.logs(**filters)
        with pytest.raises(TypeError, match="since is 10: expected a datetime, a timedelta"):
            launch.logs(since=10)


@pytest.mark.parametrize("token", ["a\nb", "令牌"])
def test_a_token_that_can_be_none_is_an_error_of_the_panel_with_a_hint(own_environment, token):
    with pytest.raises(PanelError, match=r"(?s)the token holds more than one line.*hint: give token="):
        Client("http://127.0.0.1:1", token=token)


def test_a_start_can_be_waited_for_later(client):
    launch = client.start(model_name="m", command=["sleep", "600"], ready_when="log:never", wait=False)
    assert launch.state == "starting"
    with pytest.raises(WaitTimeoutError, match="not ready"):
        launch.wait(timeout=0.01)
    launch.stop()
    (_, start) = launch._starting
    assert start._process.returncode is not None  # no process is left for the interpreter to complain about
    with pytest.raises(StartError, match="stopped before it was ready"):
        launch.wait()


@pytest.mark.field
def test_followed_lines_end_with_the_server(client, tmp_path):
    release = tmp_path / "release"
    script = f"echo INFO one; until [ -e {release} ]; do sleep 0.05; done; echo ERROR two"
    launch = client.start(model_name="m", command=["sh", "-c", script])
    seen = []
    for line in launch.logs(follow=True):
        if line.kind != "event":
            seen.append(line.text)
        if line.text == "INFO one":
            release.touch()
    assert seen == ["INFO one", "ERROR two"]
    assert launch.wait(until="ended").state == "stopped"


@pytest.mark.field
def test_a_server_that_ran_already_is_not_stopped_by_its_second_user(client):
    params = {**SERVER, "port": tracetail_client.free_port()}
    with client.start(**params) as first:
        with client.start(**params) as second:
            assert second.reused
            assert second.launch_id == first.launch_id
        assert first.refresh().state == "ready"


def test_an_unknown_launch_says_where_it_was_looked_for(client, own_environment):
    with pytest.raises(LaunchNotFoundError, match=str(own_environment)):
        client.launch("20261122T211210-4bf92f")


async def test_a_start_that_is_cancelled_leaves_no_server(own_environment):
    client = AsyncClient()
    command = ["sh", "-c", "echo INFO one; sleep 600"]
    starting = asyncio.ensure_future(client.start(model_name="m", command=command, ready_when="log:never"))
    await eventually(client.find, "the launch")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    (launch,) = await client.find()
    assert launch.info.has_ended


@pytest.mark.field
async def test_in_an_event_loop_lines_are_followed_and_the_server_is_stopped(own_environment):
    launch = await AsyncClient().start(model_name="m", command=["sh", "-c", "echo INFO one; sleep 600"])
    async with launch:
        async for line in launch.logs(follow=True):
            if line.text == "INFO one":
                break
    assert launch.state == "stopped"
    assert [line.text async for line in launch.logs(regex="^INFO")] == ["INFO one"]


def test_the_parameters_are_those_of_the_launcher():
    assert set(StartParams.__annotations__) == set(Params.__struct_fields__) - {"action"}
    container = typing.get_type_hints(StartParams)["container"]
    assert set(container.__annotations__) == set(Container.__struct_fields__)


def test_the_client_imports_no_library():
    script = "import sys, tracetail.client; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & {"aiohttp", "click", "msgspec", "orjson", "psutil", "re2", "rich"} == set()
    assert Client.start.__doc__


@pytest.mark.field
@pytest.mark.parametrize("page", ["python-client.md", "zh/python-client.md", "pytest.md", "zh/pytest.md"])
def test_the_examples_of_the_documentation_are_typed(page, tmp_path):
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
        (tmp_path / f"example{number}.py").write_text(block)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
