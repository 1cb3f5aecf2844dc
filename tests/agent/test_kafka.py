"""Every line reaches a real Kafka, whatever is killed, missing, refused or too large."""

import asyncio
import random
import string
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType
from support.agent_loki import has_each_once
from support.agent_process import INSTANCE, TRACE, AgentProcess, Launch
from support.kafka_broker import PASSWORD, TOPIC, USER, KafkaBroker, Sent
from support.tls import Authority
from support.waiting import eventually

from tracetail.cli.configuration import Configuration
from tracetail.cli.findings import OK, PROBLEM, Finding
from tracetail.cli.kafka_checks import check_kafka

pytestmark = [pytest.mark.needs("java", "mvn"), pytest.mark.timeout(300)]

LARGE = "".join(random.Random(7).choices(string.ascii_letters + string.digits, k=1_000_000))
"""A text that no compression makes small."""


@pytest.fixture
async def start_agent_in(loki):
    """Return a function that starts an agent with a state directory of its own."""
    agents: list[AgentProcess] = []

    async def start(state_dir: Path, config: str) -> AgentProcess:
        agents.append(AgentProcess(state_dir, loki.url, config))
        return await agents[-1].start()

    yield start
    for agent in agents:
        await agent.kill()


@pytest.fixture
async def broker(tmp_path: Path):
    authority = Authority(tmp_path / "ca")
    started = KafkaBroker(tmp_path / "kafka", tls=authority.sign("broker"))
    yield started
    started.kill()


def numbers(messages: list[Sent]) -> list[int]:
    """Return the numbers of the printed lines, in the order of the topic."""
    return [int(sent.text.rpartition(" ")[2]) for sent in messages if "] line " in sent.text]


def once(messages: list[Sent]) -> list[Sent]:
    """Return the messages without those whose identity has come before, as a consumer does."""
    return list({sent.identity: sent for sent in reversed(messages)}.values())[::-1]


async def complete(broker: KafkaBroker, launches: list[Launch]) -> list[Sent]:
    """Return all messages, once there is a receipt of each launch."""

    async def received() -> list[Sent] | None:
        messages = await broker.sent()
        return messages if sum("receipt " in sent.text for sent in once(messages)) == len(launches) else None

    found = await eventually(received, "the receipts", 120)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("agent_kills", "broker_kills"),
    [
        pytest.param(4, 1, marks=pytest.mark.field),
        pytest.param(50, 10, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_every_line_once_after_dedupe_though_agent_and_broker_are_killed(
    start_agent, loki, state_dir: Path, broker: KafkaBroker, agent_kills: int, broker_kills: int
) -> None:
    """kill -9 while three servers print; the lines reach Loki and Kafka, each by its own positions."""
    await broker.start(TOPIC)
    launches = [Launch(state_dir, number) for number in range(1, 4)]
    printed = 0
    stop = asyncio.Event()

    async def print_on() -> None:
        nonlocal printed
        while not stop.is_set():
            for launch in launches:
                launch.print(
                    *(f"(APIServer pid=1) INFO 11-22 13:12:10 [a.py:1] line {printed + n}" for n in range(10))
                )
                printed += 10
            await asyncio.sleep(0.05)

    async def kill_brokers() -> None:
        for _ in range(broker_kills):
            await asyncio.sleep(random.uniform(0, 2))
            broker.kill()
            await asyncio.sleep(random.uniform(0, 1))
            await broker.start()

    config = f'[kafka]\nbrokers = ["{broker.address}"]\n'
    printing = asyncio.create_task(print_on())
    killing = asyncio.create_task(kill_brokers())
    for kill in range(agent_kills):
        agent = await start_agent(config)
        # Most kills hit an agent that is sending to Kafka at that moment; some one that has just begun.
        if kill % 3:
            await _has_sent(agent)
        await asyncio.sleep(random.uniform(0, 0.5))
        await agent.kill()
    await killing
    stop.set()
    await printing
    for launch in launches:
        launch.end()
    agent = await start_agent(config)
    messages = await complete(broker, launches)
    await eventually(lambda: all(launch.dir.shipped_path.exists() for launch in launches), "shipped.json")
    await eventually(lambda: all(launch.shipped()["complete"] for launch in launches), "complete launches")
    await loki.until(lambda: sum("receipt " in line for line in loki.lines(events=True)) == len(launches), 60)

    found = numbers(once(messages))
    lost = len(set(range(printed)) - set(found))
    doubled = len(found) - len(set(found))
    print(
        f"agent killed {agent_kills} times, broker killed {broker_kills} times, lines {printed}, lines lost {lost}, "
        f"repeated messages {len(messages) - len(once(messages))}, duplicates after dedupe by identity {doubled}"
    )
    assert (lost, doubled) == (0, 0)
    for launch in launches:
        of_launch = numbers([sent for sent in once(messages) if sent.key == launch.launch_id])
        assert of_launch == sorted(of_launch)
    await has_each_once(loki, printed)


async def _has_sent(agent: AgentProcess) -> None:
    async def sent() -> bool:
        for line in (await agent.metrics()).splitlines():
            if line.startswith('tracetail_agent_output_sent_entries_total{output="kafka"}'):
                return float(line.split()[-1]) > 0
        return False

    await eventually(sent, "messages that Kafka acknowledged", 120)


@pytest.mark.field
async def test_a_line_in_kafka_has_its_fields_and_no_secret(
    start_agent, loki, state_dir, broker: KafkaBroker
) -> None:
    await broker.start(TOPIC)
    launch = Launch(state_dir)
    launch.print("(APIServer pid=71) ERROR 11-22 13:12:10 [api.py:7] api_key='geheim' is wrong")
    agent = await start_agent(f'[kafka]\nbrokers = ["{broker.address}"]\n')
    [sent] = await eventually(broker.sent)
    assert sent.key == launch.launch_id
    assert sent.fields == {
        "traceId": TRACE,
        "instanceId": INSTANCE,
        "launchId": launch.launch_id,
        "service_name": "Qwen/Qwen2-7B",
        "env": "test",
        "engine": "vllm",
        "host": "node1",
        "level": "error",
        "process": "APIServer",
        "pid": "71",
        "code": "api.py:7",
        "time": str(launch.time_ns),
        "text": "(APIServer pid=71) ERROR 11-22 13:12:10 [api.py:7] api_key='***' is wrong",
    }
    assert sent.time_ms == launch.time_ns // 1_000_000

    # A log that is deleted while Kafka is away, and Loki is not, is read to its end from what is open.
    broker.kill()
    launch.print(*(f"[a.py:1] line {number}" for number in range(20_000)))
    await loki.until(lambda: len(loki.stored) == 20_001)
    launch.segments[0].unlink()
    launch.end()
    await broker.start()
    messages = await complete(broker, [launch])
    assert numbers(once(messages)) == list(range(20_000))
    assert await agent.stop() == 0


@pytest.mark.field
async def test_each_fault_names_the_setting_and_loses_nothing(
    start_agent_in, tmp_path: Path, broker: KafkaBroker
) -> None:
    """Brokers that are away, a missing topic, rights, passwords, certificates, sizes: all at the same time."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "password").write_text(PASSWORD)
    (secrets / "wrong").write_text("guessed")
    (secrets / "ca.pem").write_text(Authority(tmp_path / "another").certificate.read_text())
    sasl = f'"security.protocol" = "SASL_PLAINTEXT"\n"sasl.mechanism" = "PLAIN"\n"sasl.username" = "{USER}"\n'
    tls = f'"security.protocol" = "SSL"\n"ssl.ca.location" = "{secrets}/ca.pem"\n'
    cases = {
        "missing": _config(broker.address, "missing"),
        "small": _config(broker.address, "small"),
        "large": _config(broker.address, "large"),
        "password": _config(broker.sasl_address, "password", sasl, f'"sasl.password" = "{secrets}/wrong"\n'),
        "rights": _config(broker.sasl_address, "rights", sasl, f'"sasl.password" = "{secrets}/password"\n'),
        "tls": _config(broker.tls_address, "tls", tls),
    }
    agents: dict[str, AgentProcess] = {}
    launches: dict[str, Launch] = {}
    for name, config in cases.items():
        launches[name] = Launch(tmp_path / name)
        launches[name].print("[a.py:1] line 0", LARGE, "\x01" * 250_000, "[a.py:1] line 1")
        launches[name].end()
        agents[name] = await start_agent_in(tmp_path / name, config)
    for agent in agents.values():
        await _says(agent, "Connection refused", "look at kafka.brokers")

    await broker.start("password", "rights", "tls", "large")
    await broker.create("small", max_message_bytes="20000")
    await _says(agents["missing"], "topic", "create the topic missing")
    await _says(agents["password"], "uthentication failed", "the file of sasl.password")
    await _says(agents["rights"], "authorization failed", "to write to it")
    await _says(agents["tls"], "certificate verify failed", "look at ssl.ca.location")

    for name, level, words in (
        ("missing", PROBLEM, "create the topic missing"),
        ("rights", PROBLEM, "allow this user to describe the topic rights"),
        ("large", OK, "the topic large at"),
    ):
        finding = await _doctor(cases[name])
        assert (finding.subject, finding.level) == ("kafka", level)
        assert words in f"{finding.text} {finding.advice}"

    await broker.create("missing")
    (secrets / "wrong").write_text(PASSWORD)
    (secrets / "ca.pem").write_text((tmp_path / "ca" / "ca.pem").read_text())
    await _allow_writing(broker, "rights", "password")
    for name in cases:
        messages = await eventually(lambda name=name: _with_receipt(broker, name), f"the lines of {name}", 120)
        texts = [sent.text for sent in once(messages)]
        assert numbers(once(messages)) == [0, 1], name
        whole = "".join(texts)
        assert LARGE in whole, name
        assert whole.count("\x01") == 250_000, name
        cut = [sent for sent in messages if sent.fields.get("kind") == "cut"]
        assert cut, name
        if name == "small":
            assert max(len(text) for text in texts if "\x01" not in text) < 25_000
    for agent in agents.values():
        status = await agent.status()
        assert status["healthy"], status["error"]
        assert await agent.stop() == 0
        assert not any(word in line for line in agent.errors for word in (PASSWORD, "guessed"))


def _config(address: str, topic: str, options: str = "", files: str = "") -> str:
    return (
        f'[kafka]\nbrokers = ["{address}"]\ntopic = "{topic}"\n'
        f"[kafka.options]\n{options}\n[kafka.option_files]\n{files}\n"
    )


async def _doctor(config: str) -> Finding:
    """Return what `tracetail doctor` finds."""
    settings = msgspec.convert(tomllib.loads(config), Configuration)
    [finding] = [finding async for finding in check_kafka(settings)]
    return finding


async def _says(agent: AgentProcess, *texts: str) -> None:
    """Wait until /status names the reason."""
    seen: dict[str, Any] = {}

    async def said() -> bool:
        seen.update((await agent.status())["outputs"][1])
        return all(text in seen["error"] for text in texts)

    try:
        await eventually(said, "the reason", 90)
    except AssertionError as error:
        raise AssertionError(f"{agent.state_dir.name} should say {texts}, and says {seen}") from error


async def _with_receipt(broker: KafkaBroker, topic: str) -> list[Sent] | None:
    messages = await broker.sent(topic)
    return messages if any("receipt " in sent.text for sent in messages) else None


async def _allow_writing(broker: KafkaBroker, *topics: str) -> None:
    """Give the user what the documentation says that it needs."""
    rights = [
        AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{USER}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for topic in topics
        for operation in (AclOperation.WRITE, AclOperation.DESCRIBE)
    ]
    await broker.allow(rights)
