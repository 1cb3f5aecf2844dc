"""Lines in a real OpenTelemetry Collector (OTELCOL_BIN) and in a real VictoriaLogs (VICTORIA_LOGS_BIN)."""

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.agent_process import TRACE, Launch
from support.environment import free_port
from support.otlp_receiver import config
from support.waiting import eventually

pytestmark = pytest.mark.timeout(300)
COLLECTOR = "OTELCOL_BIN"
VICTORIA_LOGS = "VICTORIA_LOGS_BIN"
COLLECTOR_CONFIG = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}", max_request_body_size: 20000}}}}}}
exporters:
  file: {{path: "{file}"}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    logs: {{receivers: [otlp], exporters: [file]}}
"""


def needs(variable: str) -> pytest.MarkDecorator:
    """Skip a test unless a variable has the path of a program."""
    return pytest.mark.skipif(variable not in os.environ, reason=f"needs the path of a program in {variable}")


@contextlib.asynccontextmanager
async def running(variable: str, port: int, *arguments: str) -> AsyncIterator[None]:
    """Run the program that a variable names, from when it listens."""
    process = await asyncio.create_subprocess_exec(
        os.environ[variable], *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await eventually(lambda: _listens(port), f"port {port}")
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def print_lines(launch: Launch, first: int, count: int) -> None:
    launch.print(*(f"(APIServer pid=1) ERROR 11-22 13:12:10 [a.py:7] line {first + n}" for n in range(count)))


@needs(COLLECTOR)
async def test_a_collector_has_every_line_with_its_fields(start_agent, loki, state_dir, tmp_path: Path):
    """Requests are larger than it accepts, so that the agent has to divide them."""
    port, file = free_port(), tmp_path / "logs.json"
    (tmp_path / "collector.yaml").write_text(COLLECTOR_CONFIG.format(port=port, file=file))
    launch = Launch(state_dir)
    print_lines(launch, 0, 3000)
    launch.end()
    async with running(COLLECTOR, port, f"--config=file:{tmp_path}/collector.yaml"):
        agent = await start_agent(config(f"http://127.0.0.1:{port}", 'compression = "none"'))
        records = await eventually(lambda: _with_receipt(file), "the receipt")
    assert [text(one) for one in records if " line " in text(one)] == [
        f"(APIServer pid=1) ERROR 11-22 13:12:10 [a.py:7] line {number}" for number in range(3000)
    ]
    assert (records[0]["severityNumber"], records[0]["traceId"]) == (17, TRACE)
    assert not (await agent.status())["outputs"][1]["error"]


def text(record: dict[str, Any]) -> str:
    return str(record["body"]["stringValue"])


def _with_receipt(file: Path) -> list[dict[str, Any]] | None:
    """Return the records that a collector has written, once there is a receipt."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    records = [
        record
        for line in lines
        for resource in json.loads(line)["resourceLogs"]
        for scope in resource["scopeLogs"]
        for record in scope["logRecords"]
    ]
    return records if any(text(record).startswith("receipt ") for record in records) else None


@needs(VICTORIA_LOGS)
@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
async def test_victoria_logs_has_every_line_though_the_agent_is_killed(
    start_agent, loki, state_dir, tmp_path: Path, kills: int
):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    launch = Launch(state_dir)
    printed = 0
    stop = asyncio.Event()

    async def print_on() -> None:
        nonlocal printed
        while not stop.is_set():
            print_lines(launch, printed, 20)
            printed += 20
            await asyncio.sleep(0.02)

    settings = config(
        f"{url}/insert/opentelemetry", 'headers = {VL-Stream-Fields = "service.name,tracetail.launch_id"}'
    )
    arguments = (f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={tmp_path}/data", "-retentionPeriod=100y")
    async with running(VICTORIA_LOGS, port, *arguments):
        printing = asyncio.create_task(print_on())
        for _ in range(kills):
            agent = await start_agent(settings)
            await asyncio.sleep(random.uniform(0, 1))
            await agent.kill()
        stop.set()
        await printing
        launch.end()
        await start_agent(settings)
        await eventually(lambda: _query(url, '_msg:~"^receipt "'), "the receipt", 120)
        entries = await eventually(lambda: _query(url, "severity:error"), "the lines")
    once = {entry["log.record.uid"]: entry for entry in entries}.values()
    found = sorted(int(entry["_msg"].rpartition(" ")[2]) for entry in once)
    print(f"agent killed {kills} times, lines {printed}, records {len(entries)}, after dedupe {len(once)}")
    assert found == list(range(printed))
    stream = f'{{service.name="Qwen/Qwen2-7B",tracetail.launch_id="{launch.launch_id}"}}'
    assert {(entry["_stream"], entry["trace_id"], entry["code.line.number"]) for entry in once} == {
        (stream, TRACE, "7")
    }


async def _query(url: str, query: str) -> list[dict[str, str]]:
    """Return what VictoriaLogs finds."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/select/logsql/query", data={"query": f"_time:100y {query}"}) as answer,
    ):
        return [json.loads(line) for line in (await answer.text()).splitlines()]
