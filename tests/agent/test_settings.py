"""The agent's settings, with a real process."""

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest
from support import commands
from support.agent_loki import LokiStandIn
from support.agent_process import AgentProcess, Launch
from support.environment import environment
from support.waiting import eventually

from tracetail.agent.checked_settings import BadSettingsError, check_labels
from tracetail.agent.settings import AgentSettings, SourceSettings


async def test_the_configuration_is_read_again_on_sighup_without_losing_a_line(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    agent = await start_agent()
    for number in range(100):
        launch.print(f"line {number} SECRET-{number}")
        if number == 50:
            agent.configure('[[agent.redact]]\nname = "ours"\nregex = "(SECRET-)\\\\d+"\n')
            agent.signal(signal.SIGHUP)
    await eventually(lambda: any("was read again" in line for line in agent.errors))
    launch.print("after SECRET-1")
    await loki.until(lambda: len(loki.stored) == 101)
    lines = loki.lines()
    assert [line.split()[1] for line in lines[:-1]] == [str(number) for number in range(100)]
    assert lines[-1] == "after SECRET-***"


async def test_a_bad_configuration_on_sighup_changes_nothing(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    agent = await start_agent()
    agent.configure("[agent]\nno_such_key = 1\n")
    agent.signal(signal.SIGHUP)
    await eventually(lambda: any("stays as it was" in line for line in agent.errors))
    launch.print("still here")
    await loki.until(lambda: loki.lines() == ["still here"])


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('[agent]\nlabels = {"no-label" = "x"}\n', "agent.labels"),
        ('[[agent.redact]]\nname = "ours"\nregex = "(("\n', "redaction pattern 'ours'"),
        ('[loki]\nbearer_token_file = "/no/such/file"\n', "loki.bearer_token_file cannot be read"),
        ('[loki]\nca_file = "/no/such/file"\n', "loki.ca_file cannot be used"),
        ('[agent]\nsecret_file = "/no/such/file"\n', "agent.secret_file cannot be read"),
        ('[agent]\nlisten = "127.0.0.1:{taken}"\n', "Address already in use; set agent.listen to another address"),
    ],
)
async def test_an_unusable_configuration_on_sighup_changes_nothing(
    state_dir: Path, loki: LokiStandIn, config: str, said: str
) -> None:
    # Not by the environment, which would override the file.
    before = '[agent]\nlisten = "127.0.0.1:0"\n'
    agent = AgentProcess(state_dir, loki.url, before, {"TRACETAIL_AGENT_LISTEN": None})
    await agent.start()
    try:
        launch = Launch(state_dir)
        launch.print("one")
        await loki.until(lambda: loki.lines() == ["one"])
        if "listen" not in config:
            config += before if "[agent]" not in config else 'listen = "127.0.0.1:0"\n'
        agent.configure(config.replace("{taken}", loki.url.rpartition(":")[2]))
        agent.signal(signal.SIGHUP)
        await eventually(lambda: any("stays as it was" in line for line in agent.errors))
        [line] = [line for line in agent.errors if "stays as it was" in line]
        assert said in line
        launch.print("two")
        await loki.until(lambda: loki.lines() == ["one", "two"])
        assert not [line for line in agent.errors if "Traceback" in line]
        # It can still be corrected.
        agent.configure(before)
        agent.signal(signal.SIGHUP)
        await eventually(lambda: any("was read again" in line for line in agent.errors))
        launch.print("three")
        await loki.until(lambda: loki.lines() == ["one", "two", "three"])
    finally:
        await agent.kill()


async def test_many_sighups_and_then_sigterm_end_the_agent_in_order(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    agent = await start_agent()
    for number in range(20):
        launch.print(f"line {number}")
        agent.signal(signal.SIGHUP)
        await asyncio.sleep(0.01)
    await loki.until(lambda: loki.lines() == [f"line {number}" for number in range(20)])
    assert await agent.stop() == 0


async def test_the_agents_secret_is_required_and_can_be_rotated(
    start_agent, loki: LokiStandIn, state_dir: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one\n")
    agent = await start_agent(f'[agent]\nsecret_file = "{secret}"\n')

    async def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as session, session.get(agent.url + "/status", headers=headers) as answer:
            return answer.status

    assert (await status("one"), await status("two")) == (200, 401)
    secret.write_text("two\n")
    assert (await status("one"), await status("two")) == (401, 200)
    secret.unlink()
    assert await status("two") == 503
    assert any("agent.secret_file cannot be read" in line for line in agent.errors)


async def test_tenant_auth_and_static_labels_are_sent(
    start_agent, loki: LokiStandIn, state_dir: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    launch = Launch(state_dir)
    launch.print("x")
    await start_agent(
        f'[loki]\ntenant = "team-a"\nbearer_token_file = "{token}"\n[agent]\nlabels = {{rack = "r1", zone = "z"}}\n'
    )
    await loki.until(lambda: len(loki.stored) == 1)
    assert loki.headers[0]["X-Scope-OrgID"] == "team-a"
    assert loki.headers[0]["Authorization"] == "Bearer first"
    assert 'rack="r1", zone="z"' in loki.entries()[0].labels
    token.write_text("second\n")
    launch.print("y")
    await loki.until(lambda: len(loki.stored) == 2)
    assert loki.headers[-1]["Authorization"] == "Bearer second"


async def test_without_structured_metadata_none_is_sent(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    launch.print("(A pid=1) INFO 11-22 13:12:10 [a.py:1] x", "  y", "Received request cmpl-9c25f7f14ed1b183-0: z")
    await start_agent("[loki]\nstructured_metadata = false\n")
    await loki.until(lambda: len(loki.stored) == 3)
    assert {entry.metadata for entry in loki.stored} == {()}


async def test_the_rate_limit_is_kept(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    launch = Launch(state_dir)
    launch.print(*(f"{n * 7919 % 1000003} {n * 104729 % 1000003} {n}" for n in range(8000)))
    agent = await start_agent("[agent]\nrate_limit_kib_per_second = 50\nbatch_kib = 64\n")
    await loki.until(lambda: len(loki.stored) == 8000)
    sent = sum(map(len, loki.bodies))
    assert sent > 100 * 1024
    assert (await agent.status())["uptimeSeconds"] > sent / (50 * 1024) - 1.5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (AgentSettings(labels={f"l{n}": "x" for n in range(9)}), "Loki accepts 15 labels"),
        (AgentSettings(labels={"not-a-label": "x"}), "cannot be a label"),
        (AgentSettings(labels={"a": "x" * 3000}), "longer than 2048"),
        (AgentSettings(sources=[SourceSettings(glob="relative/*.log")]), "absolute path"),
        (AgentSettings(sources=[SourceSettings(glob="/x", path_pattern="(")]), "not a regular expression"),
    ],
)
def test_settings_that_loki_would_refuse_are_refused_at_the_start(settings: AgentSettings, said: str) -> None:
    with pytest.raises(BadSettingsError, match=said):
        check_labels(settings)


@pytest.mark.parametrize(
    ("config", "status", "said"),
    [
        ('[agent]\ntimezone = "Mars/Olympus"\n', 2, "agent.timezone"),
        ('[[agent.redact]]\nname = "ours"\nregex = "(("\n', 2, "redaction pattern 'ours'"),
        ('[agent]\nlisten = "0.0.0.0:0"\n', 1, "agent.secret_file"),
        ('[loki]\nca_file = "/no/such/file"\n', 2, "loki.ca_file"),
        ('[loki]\nbearer_token_file = "/no/such/file"\n', 2, "loki.bearer_token_file cannot be read"),
        ('[loki]\nproxy = "localhost:3128"\n', 2, "loki.proxy"),
        ('[agent]\nsecret_file = "/no/such/file"\n', 2, "agent.secret_file cannot be read"),
    ],
)
async def test_unusable_settings_are_refused_with_one_line(
    state_dir: Path, loki: LokiStandIn, config: str, status: int, said: str
) -> None:
    path = state_dir / "bad.toml"
    path.write_text(config)
    environ = environment()
    environ |= {"TRACETAIL_STATE_DIR": str(state_dir), "TRACETAIL_CONFIG": str(path), "TRACETAIL_LOKI_URL": loki.url}
    if "listen" not in config:
        environ["TRACETAIL_AGENT_LISTEN"] = "127.0.0.1:0"
    process = await commands.create("agent", env=environ, stderr=-1)
    _, error = await process.communicate()
    assert process.returncode == status
    assert said in error.decode()
    assert error.decode().startswith("error: ")
    assert error.count(b"\n") == 1


async def test_only_one_agent_uses_a_journal(start_agent, state_dir: Path, loki: LokiStandIn) -> None:
    await start_agent()
    with pytest.raises(AssertionError, match="another agent uses the journal"):
        await start_agent()
