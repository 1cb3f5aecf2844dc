"""Every line reaches an OTLP receiver, whatever is killed, missing, refused or too large."""

import asyncio
import itertools
import json
import random
import ssl
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from support.agent_loki import has_each_once
from support.agent_process import TRACE, AgentProcess, Launch
from support.otlp_receiver import OtlpReceiver, Received, config, partial, refusal
from support.tls import Authority
from support.waiting import eventually

from tracetail.cli.configuration import Configuration
from tracetail.cli.findings import OK, PROBLEM, Finding
from tracetail.cli.otlp_checks import check_otlp


@pytest.fixture
async def receiver() -> AsyncIterator[OtlpReceiver]:
    started = OtlpReceiver()
    await started.start()
    yield started
    await started.stop()


def numbers(records: list[Received]) -> list[int]:
    """Return the numbers of the printed lines, in the order in which they came."""
    return [int(record.text.rpartition(" ")[2]) for record in records if "] line " in record.text]


def print_lines(launch: Launch, first: int, count: int) -> None:
    launch.print(*(f"(APIServer pid=1) INFO 11-22 13:12:10 [a.py:1] line {first + n}" for n in range(count)))


def has_receipts(receiver: OtlpReceiver, launches: int = 1) -> bool:
    return sum("receipt " in record.text for record in receiver.once()) == launches


async def error_of(agent: AgentProcess) -> str:
    """Return why lines do not reach the receiver."""
    return str((await agent.status())["outputs"][1]["error"])


async def says(agent: AgentProcess, *words: str) -> None:
    """Wait until /status names the reason."""

    async def said() -> bool:
        error = await error_of(agent)
        return all(word in error for word in words)

    await eventually(said, f"{words} in /status")


async def metric(agent: AgentProcess, name: str) -> float:
    """Return a counter of the OTLP output."""
    lines = (await agent.metrics()).splitlines()
    return float(next(line for line in lines if line.startswith(f'{name}{{output="otlp"}}')).split()[-1])


async def test_a_line_has_its_fields_and_no_secret(start_agent, loki, state_dir, receiver):
    launch = Launch(state_dir)
    launch.print("(APIServer pid=71) ERROR 11-22 13:12:10 [api.py:7] api_key='geheim' is wrong")
    launch.end()
    agent = await start_agent(config(receiver.url))
    await eventually(lambda: has_receipts(receiver), "the receipt")
    line = receiver.records[0]
    assert line.text == "(APIServer pid=71) ERROR 11-22 13:12:10 [api.py:7] api_key='***' is wrong"
    assert line.record.time_unix_nano == launch.time_ns
    assert (line.record.severity_text, line.record.trace_id.hex()) == ("error", TRACE)
    assert line.resource["service.instance.id"] == launch.launch_id
    assert (line.attributes["code.file.path"], line.attributes["process.pid"]) == ("api.py", 71)
    assert receiver.headers[0]["Content-Encoding"] == "gzip"
    await loki.until(lambda: len(loki.stored) == 2)
    [_, otlp] = (await agent.status())["outputs"]
    assert (otlp["name"], otlp["target"], otlp["healthy"]) == ("otlp", f"{receiver.url}/v1/logs", True)
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["complete"], "shipped.json")
    assert await metric(agent, "tracetail_agent_output_sent_entries_total") == 2
    assert await agent.stop() == 0


@pytest.mark.parametrize(
    "kills",
    [
        2,
        pytest.param(20, marks=[pytest.mark.field, pytest.mark.timeout(600)]),
        pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_every_line_once_after_dedupe_though_the_agent_is_killed(start_agent, loki, state_dir, receiver, kills):
    """kill -9 while servers print, at times between a request and its acknowledgement; some answers are 503."""
    launches = [Launch(state_dir, number) for number in range(1, 4)]
    printed = 0
    stop = asyncio.Event()

    async def slow_or_busy() -> web.Response:
        await asyncio.sleep(random.uniform(0, 0.2))
        return refusal(503) if random.random() < 0.1 else web.Response(content_type="application/x-protobuf")

    receiver.judge = lambda _: slow_or_busy()

    async def print_on() -> None:
        nonlocal printed
        while not stop.is_set():
            for launch in launches:
                print_lines(launch, printed, 10)
                printed += 10
            await asyncio.sleep(0.05)

    printing = asyncio.create_task(print_on())
    for _ in range(kills):
        before = len(receiver.records)
        agent = await start_agent(config(receiver.url))
        await eventually(lambda before=before: len(receiver.records) > before, "records of this agent")
        await asyncio.sleep(random.uniform(0, 0.3))
        await agent.kill()
    stop.set()
    await printing
    for launch in launches:
        launch.end()
    receiver.judge = lambda _: None
    await start_agent(config(receiver.url))
    await eventually(lambda: has_receipts(receiver, len(launches)), "the receipts", 120)
    once = receiver.once()
    found = numbers(once)
    lost = len(set(range(printed)) - set(found))
    doubled = len(found) - len(set(found))
    print(
        f"agent killed {kills} times, lines {printed}, lines lost {lost}, repeated records "
        f"{len(receiver.records) - len(once)}, duplicates after dedupe by identity {doubled}"
    )
    assert (lost, doubled) == (0, 0)
    for launch in launches:
        of_launch = numbers([one for one in once if one.resource["tracetail.launch_id"] == launch.launch_id])
        assert of_launch == sorted(of_launch)
    await has_each_once(loki, printed)


async def test_a_line_that_is_refused_is_found_and_kept_and_the_others_arrive(
    start_agent, loki, tracetail, state_dir, receiver
):
    """400: the batch is divided until the poisoned line is alone; the journal has it with the reason."""
    poisoned = {17, 500, 501}
    receiver.judge = lambda records: (
        refusal(400, "cannot be stored") if poisoned.intersection(numbers(records)) else None
    )
    launch = Launch(state_dir)
    print_lines(launch, 0, 600)
    launch.end()
    agent = await start_agent(config(receiver.url))
    await eventually(lambda: has_receipts(receiver), "the receipt")
    assert numbers(receiver.records) == [number for number in range(600) if number not in poisoned]
    assert [text for text in receiver.texts() if "rejected=3" in text]
    listed = await tracetail("agent", "rejected", "--output", "otlp", "--json")
    kept = [json.loads(line) for line in listed.out.splitlines()]
    assert [(int(one["line"].split()[-1]), one["reason"]) for one in kept] == [
        (number, "cannot be stored") for number in sorted(poisoned)
    ]
    assert await metric(agent, "tracetail_agent_output_rejected_entries_total") == 3
    assert await metric(agent, "tracetail_agent_output_sent_entries_total") == 598
    assert await agent.stop() == 0
    assert any("the OTLP receiver refused" in line and "cannot be stored" in line for line in agent.errors)


async def test_a_receiver_that_refuses_every_request_is_a_fault_of_the_settings_and_loses_nothing(
    start_agent, loki, state_dir, receiver
):
    receiver.judge = lambda _: refusal(400, "no tenant")
    launch = Launch(state_dir)
    print_lines(launch, 0, 10)
    agent = await start_agent(config(receiver.url))
    await says(agent, "answers 400", "look at otlp.endpoint", "no tenant")
    await loki.until(lambda: len(loki.stored) == 10)
    receiver.judge = lambda _: None
    await eventually(lambda: numbers(receiver.records) == list(range(10)), "the lines")
    assert await metric(agent, "tracetail_agent_output_rejected_entries_total") == 0


async def test_a_request_that_is_too_large_is_halved(start_agent, loki, state_dir, receiver):
    receiver.judge = lambda records: refusal(413) if len(records) > 30 else None
    launch = Launch(state_dir)
    print_lines(launch, 0, 500)
    launch.end()
    await start_agent(config(receiver.url))
    await eventually(lambda: has_receipts(receiver), "the receipt")
    assert numbers(receiver.records) == list(range(500))


async def test_what_a_partial_success_refuses_is_counted_and_not_sent_again(start_agent, loki, state_dir, receiver):
    receiver.judge = lambda records: partial(2, "attribute limit") if len(records) == 10 else None
    launch = Launch(state_dir)
    print_lines(launch, 0, 10)
    agent = await start_agent(config(receiver.url))
    await eventually(lambda: len(receiver.records) == 10, "the lines")
    await eventually(lambda: any("attribute limit" in line for line in agent.errors), "the reason in the log")
    print_lines(launch, 10, 1)
    await eventually(lambda: len(receiver.records) == 11, "the next line")
    assert numbers(receiver.records) == list(range(11))
    assert await metric(agent, "tracetail_agent_output_rejected_entries_total") == 2


async def test_retry_after_is_kept(start_agent, loki, state_dir, receiver):
    times: list[float] = []
    is_named = False

    def judge(_: list[Received]) -> web.Response | None:
        times.append(asyncio.get_running_loop().time())
        return None if is_named else refusal(429, "slow down", **{"Retry-After": "2"})

    receiver.judge = judge
    print_lines(Launch(state_dir), 0, 1)
    agent = await start_agent(config(receiver.url))
    await says(agent, "answers 429", "slow down")
    is_named = True
    await eventually(lambda: len(receiver.records) == 1, "the line")
    assert min(after - before for before, after in itertools.pairwise(times)) >= 2

    async def is_forgotten() -> bool:
        return not await error_of(agent)

    await eventually(is_forgotten, "no error in /status")


async def test_each_fault_names_the_setting_and_a_changed_token_needs_no_restart(
    start_agent, loki, state_dir, tmp_path: Path
):
    authority = Authority(tmp_path / "ca")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.sign("receiver"))
    receiver = OtlpReceiver()
    receiver.judge = lambda _: (
        None if receiver.headers[-1].get("Authorization") == "Bearer right" else refusal(401, "who is it?")
    )
    await receiver.start(context)
    (tmp_path / "token").write_text("wrong")
    (tmp_path / "ca.pem").write_text((Authority(tmp_path / "another").certificate).read_text())
    more = f'bearer_token_file = "{tmp_path}/token"\nca_file = "{tmp_path}/ca.pem"\ncompression = "none"\n'
    print_lines(Launch(state_dir), 0, 3)
    agent = await start_agent(config(receiver.url, more))
    await says(agent, "its certificate is not accepted", "look at otlp.ca_file")
    assert (await doctor(config(receiver.url, more))).level == PROBLEM
    (tmp_path / "ca.pem").write_text(authority.certificate.read_text())
    await says(agent, "answers 401", "look at otlp.bearer_token_file", "who is it?")
    found = await doctor(config(receiver.url, more))
    assert (found.level, "look at otlp.bearer_token_file" in found.advice) == (PROBLEM, True)
    (tmp_path / "token").write_text("right")
    await eventually(lambda: numbers(receiver.records) == [0, 1, 2], "the lines")
    assert (await doctor(config(receiver.url, more))).level == OK
    assert "Content-Encoding" not in receiver.headers[-1]
    assert not any("right" in line or "wrong" in line for line in agent.errors)
    await receiver.stop()


async def test_a_receiver_that_cannot_be_reached_delays_neither_loki_nor_the_end(start_agent, loki, state_dir):
    launch = Launch(state_dir)
    print_lines(launch, 0, 3)
    agent = await start_agent(config("http://127.0.0.1:1"))
    await loki.until(lambda: len(loki.stored) == 3)
    await says(agent, "http://127.0.0.1:1/v1/logs cannot be reached: Connection refused")
    assert not launch.dir.shipped_path.exists() or not launch.shipped()["complete"]
    assert await agent.stop() == 0


async def test_a_port_of_grpc_is_named_as_what_it_is(start_agent, loki, state_dir):
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00@\x00")  # SETTINGS of HTTP/2
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        print_lines(Launch(state_dir), 0, 3)
        agent = await start_agent(config(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        await says(agent, "it does not answer in HTTP/1.1, as a port of gRPC; look at otlp.endpoint")


async def doctor(text: str) -> Finding:
    """Return what `tracetail doctor` finds."""
    settings = msgspec.convert(tomllib.loads(text), Configuration)
    [finding] = [finding async for finding in check_otlp(settings)]
    return finding
