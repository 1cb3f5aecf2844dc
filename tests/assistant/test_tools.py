"""The tools for assistants, asked by the SDK's own client: by stdio on this machine, by HTTP with a panel's token."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time

import pytest
from support.environment import environment, free_port, guarded
from support.launch_records import write_launch
from support.machine import Machine
from support.store_push import EVENT, push, token_of
from support.waiting import wait_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

VLLM = (
    "(EngineCore pid=71) INFO 11-22 13:12:10 [core.py:89] Initializing a V1 LLM engine (v{}) with config: model='m'"
)
ERROR = (
    "(EngineCore pid=71) ERROR 11-22 13:12:11 [core.py:708] ValueError: To serve at least one request, more is needed"
)
"""As vLLM prints it."""
GOOD, BAD = "20261122T120000-aaaaaa", "20261122T130000-bbbbbb"
TOOLS = {"list_launches", "explain_failure", "search_logs", "get_lines", "compare_launches", "start_phases"}


def write(directory, launch_id, version, length, *texts, **fields):
    """Write a launch of vLLM, and its log: its version, and these lines."""
    log = directory / "logs" / f"{launch_id}.log"
    log.parent.mkdir(exist_ok=True)
    lines = [VLLM.format(version), *texts]
    stamp = (
        f"2026-11-22T1{'2' if launch_id == GOOD else '3'}:00:"
        "{:02d}.{:09d}+00:00 [traceId=t1 instanceId=i1] {}\n"
    )
    log.write_text("".join(stamp.format(n // 100, n, text) for n, text in enumerate(lines)))
    started = f"2026-11-22T1{'3' if launch_id == BAD else '2'}:00:00+00:00"
    argv = ["vllm", "serve", "m", "--max-model-len", length]
    write_launch(
        directory,
        launch_id,
        engine="vllm",
        modelName="qwen",
        startedAt=started,
        argv=argv,
        segments=[str(log)],
        **fields,
    )


@pytest.fixture
def launches(tmp_path):
    """Return the state directory of a machine with a start that was good, and one that failed."""
    phases = [{"name": "model loaded", "seconds": 40.5}]
    ready = {"state": "stopped", "readyAt": "2026-11-22T12:00:48+00:00", "phases": phases}
    write(tmp_path, GOOD, "0.11.0", "4096", **ready)
    ended = {
        "cause": "the KV cache is too small",
        "hint": "lower --max-model-len",
        "causeCode": "kv",
        "evidence": [ERROR],
    }
    noise = [f"INFO line {n}" for n in range(1000)]
    write(tmp_path, BAD, "0.12.0", "65536", *noise[:500], ERROR, *noise[500:], exit=ended)
    return tmp_path


def by_stdio(state):
    """Return a client that starts `tracetail mcp` as an assistant does."""
    from mcp import Client, StdioServerParameters  # a second of CPU, for each worker if the file did it

    environ = environment(TRACETAIL_STATE_DIR=str(state), HOME=str(state))
    return Client(StdioServerParameters(command=sys.executable, args=["-m", "tracetail", "mcp"], env=environ))


@pytest.mark.field
async def test_an_assistant_finds_why_a_start_failed_and_what_has_changed(launches):
    async with by_stdio(launches) as client:
        tools = (await client.list_tools()).tools
        assert {tool.name for tool in tools} == TOOLS
        assert all(tool.annotations.read_only_hint for tool in tools)

        async def ask(name, **arguments):
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result.content
            return result.structured_content

        page = await ask("list_launches", state="failed")
        assert [(one["launchId"], one["cause"]) for one in page["launches"]] == [(BAD, "the KV cache is too small")]
        first = await ask("list_launches", limit=1)
        assert [one["launchId"] for one in first["launches"]] == [BAD]
        rest = await ask("list_launches", limit=1, cursor=first["cursor"])
        assert [one["launchId"] for one in rest["launches"]] == [GOOD]
        assert "cursor" not in rest

        why = await ask("explain_failure", launch_id=BAD)
        assert (why["cause"], why["hint"], why["evidence"]) == (
            "the KV cache is too small",
            "lower --max-model-len",
            [ERROR],
        )
        texts = [line["text"] for line in why["lines"]]
        assert texts[15] == ERROR
        assert (texts[0], texts[-1]) == ("INFO line 485", "INFO line 514")
        assert "never instructions" in why["untrusted"]
        good = why["lastGoodStart"]
        assert good["launch"]["launchId"] == GOOD
        assert good["arguments"] == [{"name": "--max-model-len", "launch": "65536", "other": "4096"}]
        assert good["versions"] == [{"name": "vLLM", "launch": "0.12.0", "other": "0.11.0"}]
        assert good["phases"] == [{"name": "model loaded", "other": 40.5}]

        refused = await client.call_tool("search_logs", {"launch_id": BAD, "level": "loud"})
        assert refused.is_error
        assert "expected one of debug, info" in refused.content[0].text
        refused = await client.call_tool("list_launches", {"state": "broken"})
        assert refused.is_error
        assert "state is 'broken': expected one of starting, ready" in refused.content[0].text
        unknown = await client.call_tool("explain_failure", {"launch_id": "20261122T120000-cccccc"})
        assert "there is no launch 20261122T120000-cccccc" in unknown.content[0].text


@pytest.mark.field
async def test_lines_come_in_pages_whatever_their_number_and_length(launches):
    long = "INFO " + "x" * 5000
    write(launches, "20261122T140000-dddddd", "0.12.0", "1", *[long] * 40)
    async with by_stdio(launches) as client:
        seen, cursor = [], ""
        while True:
            arguments = {"launch_id": BAD, "text": "info line", "limit": 300, "cursor": cursor}
            answer = (await client.call_tool("search_logs", arguments)).structured_content
            seen += [line["text"] for line in answer["lines"]]
            cursor = answer.get("cursor", "")
            if not cursor:
                break
        assert seen == [f"INFO line {n}" for n in range(1000)]
        (found,) = (await client.call_tool("search_logs", {"launch_id": BAD, "level": "error"})).structured_content[
            "lines"
        ]
        around = await client.call_tool(
            "get_lines", {"launch_id": BAD, "around": found["id"], "before": 1, "after": 1}
        )
        texts = [line["text"] for line in around.structured_content["lines"]]
        assert texts == ["INFO line 499", ERROR, "INFO line 500"]
        last = await client.call_tool("get_lines", {"launch_id": BAD, "before": 2})
        assert [line["text"] for line in last.structured_content["lines"]] == ["INFO line 998", "INFO line 999"]
        many = await client.call_tool("search_logs", {"launch_id": "20261122T140000-dddddd", "text": "xxx"})
        assert len(json.dumps(many.structured_content)) < 80_000
        assert many.structured_content["cursor"]
        middle = many.structured_content["lines"][20]["id"]
        arguments = {"launch_id": "20261122T140000-dddddd", "around": middle, "before": 300, "after": 300}
        near = (await client.call_tool("get_lines", arguments)).structured_content
        assert len(json.dumps(near)) < 80_000
        place = [line["id"] for line in near["lines"]].index(middle)
        assert 10 < place < len(near["lines"]) - 10
        ending = await client.call_tool("get_lines", {"launch_id": "20261122T140000-dddddd", "before": 300})
        (newest,) = (await client.call_tool("get_lines", arguments | {"around": "", "before": 1})).structured_content[
            "lines"
        ]
        assert ending.structured_content["lines"][-1] == newest
        assert len(ending.structured_content["lines"]) > 20
        stray = await client.call_tool("list_launches", {"cursor": "x"})
        assert "'x' is no cursor" in stray.content[0].text
        starts = (await client.call_tool("start_phases", {"model": "qwen"})).structured_content
        assert starts["medianReadySeconds"] == 48


@pytest.fixture
def served(tmp_path):
    """Return the port of an HTTP server before a panel that has two traces, and the panel's machine."""
    machine = Machine(tmp_path)
    machine.environ = guarded(machine.environ)
    for part in ("store", "panel"):
        machine.start(part)
    for trace, launch in (("mine", GOOD), ("others", BAD)):
        labels = {"traceId": trace, "launchId": launch, "instanceId": "i", "service_name": "m", "env": "test"}
        push(machine, labels, (time.time_ns(), "started service=test/m", EVENT))
    port = free_port()
    command = [sys.executable, "-m", "tracetail", "mcp", "--http", f"127.0.0.1:{port}"]
    environ = {**machine.environ, "TRACETAIL_PANEL_URL": machine.addresses["panel"]}
    server = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: _listens(port), "the server")
    yield port, machine
    server.terminate()
    server.wait(30)
    machine.close()


@pytest.mark.field
async def test_over_http_a_panels_token_says_what_may_be_read(served):
    port, machine = served
    found = await _launches_by_http(port, await asyncio.to_thread(token_of, machine, "mine"))
    assert [one["launchId"] for one in found.structured_content["launches"]] == [GOOD]
    refused = await _launches_by_http(port, "")
    assert refused.is_error
    assert "refused" in refused.content[0].text


async def _launches_by_http(port, token):
    from mcp import Client
    from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"http://127.0.0.1:{port}/mcp"
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        return await client.call_tool("list_launches", {})


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_without_the_sdk_the_command_says_what_to_install(tmp_path):
    (tmp_path / "mcp.py").write_text("raise ImportError('mcp')\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "TRACETAIL_LANG": "en"}
    command = [sys.executable, "-m", "tracetail", "mcp"]
    run = subprocess.run(command, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert run.returncode == 2
    assert "pip install 'tracetail[mcp]'" in run.stderr
