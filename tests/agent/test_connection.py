"""How Loki is reached: TLS with its own authority, client certificates, proxies, credentials, tenant.

Each is shown for what the agent pushes, for what it reads back (the look-up after a crash), for `tracetail verify`
and for `tracetail doctor`, through real sockets.
"""

import asyncio
import base64
import signal
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support import commands
from support.agent_loki import LokiStandIn, Stored
from support.agent_process import TRACE, AgentProcess, Launch
from support.callback_receiver import Receiver
from support.environment import environment
from support.tls import Authority, Proxy, TlsFront
from support.waiting import eventually

from tracetail.contract import outbox

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ours"))


@pytest.fixture
async def front(authority: Authority, loki: LokiStandIn) -> AsyncIterator[TlsFront]:
    front = await TlsFront(authority.server_context(), loki.url).start()
    yield front
    await front.stop()


@pytest.fixture
async def strict_front(authority: Authority, loki: LokiStandIn) -> AsyncIterator[TlsFront]:
    """Yield a proxy that requires a client certificate of the test authority."""
    context = authority.server_context()
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    front = await TlsFront(context, loki.url).start()
    yield front
    await front.stop()


@pytest.fixture
async def other_name(authority: Authority, loki: LokiStandIn) -> AsyncIterator[TlsFront]:
    """Yield a proxy whose certificate is valid, but for another name."""
    front = await TlsFront(authority.server_context("other", "DNS:loki.example"), loki.url).start()
    yield front
    await front.stop()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = await Proxy("anna:geheim").start()
    yield proxy
    await proxy.stop()


class Ran(NamedTuple):
    status: int
    out: str


@pytest.fixture
def tracetail(state_dir: Path):
    async def run(url: str, config: str, *arguments: str) -> Ran:
        path = state_dir / "command.toml"
        path.write_text(config)
        environ = environment()
        environ |= {
            "TRACETAIL_STATE_DIR": str(state_dir),
            "TRACETAIL_AGENT_STATE_DIRS": str(state_dir),
            "TRACETAIL_LOKI_URL": url,
            "TRACETAIL_CONFIG": str(path),
        }
        process = await commands.create(*arguments, env=environ, stdout=-1, stderr=asyncio.subprocess.STDOUT)
        out, _ = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode())

    return run


async def shown_to_work(start_agent, tracetail, loki: LokiStandIn, state_dir: Path, url: str, config: str) -> None:
    """Push, crash, look up what was pushed, verify and doctor: each with these settings."""
    stored = asyncio.Event()

    async def store_and_never_answer(entries: list[Stored], loki: LokiStandIn) -> None:
        loki.store(entries)
        stored.set()
        await asyncio.sleep(3600)

    launch = Launch(state_dir)
    launch.print("one", "two")
    loki.behaviours.append(store_and_never_answer)
    agent: AgentProcess = await start_agent(config, url)
    async with asyncio.timeout(60):
        await stored.wait()
    await agent.kill()
    launch.print("three")
    launch.end()
    agent = await start_agent(config, url)
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    assert loki.lines() == ["one", "two", "three"]
    # Entries stored before the crash were found by a query: one push for them, one for the rest, one for the receipt.
    assert len(loki.queries) == 1
    assert len(loki.bodies) == 3
    ran = await tracetail(url, config, "verify", "--trace-id", TRACE)
    assert ran.status == 0, ran
    assert ": complete: 3 lines on disk, 3 of them in Loki" in ran.out
    ran = await tracetail(url, config, "doctor")
    assert f"a line was pushed to {url} and read back" in ran.out, ran


async def test_tls_with_an_authority_of_our_own(
    start_agent, tracetail, loki: LokiStandIn, state_dir: Path, front: TlsFront, authority: Authority
) -> None:
    config = f'[loki]\nca_file = "{authority.certificate}"\n'
    await shown_to_work(start_agent, tracetail, loki, state_dir, front.url, config)


async def test_tls_with_an_authority_of_the_system(
    start_agent,
    loki: LokiStandIn,
    state_dir: Path,
    front: TlsFront,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever an agent sends: it has not read the authorities before."""
    monkeypatch.setenv("AGENT_COMMAND_PREFIX", "env")  # a new Python, which imports all that it needs itself
    receiver = Receiver()
    posted: list[tuple[str, str]] = []

    async def accept(request: web.Request) -> web.Response:
        posted.append((request.method, request.path))
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", accept)
    async with TestServer(app) as metrics:
        of_metrics = await TlsFront(authority.server_context(), str(metrics.make_url(""))).start()
        of_callbacks = await TlsFront(authority.server_context(), receiver.url).start()
        launch = Launch(state_dir)
        launch.print("one")
        launch.end()
        callback = {"eventId": "1", "event": "stopped"}
        outbox.put(
            launch.dir.outbox_path,
            {"url": of_callbacks.url, "tokenFile": "", "createdAt": time.time(), "attempts": 0, "body": callback},
        )
        await start_agent(
            f'[agent]\npushgateway_url = "{of_metrics.url}"\nremote_write_url = "{of_metrics.url}/write"\n',
            front.url,
            {"SSL_CERT_FILE": str(authority.certificate)},
        )
        await loki.until(lambda: loki.lines() == ["one"])
        await eventually(lambda: {method for method, _ in posted} == {"PUT", "POST"})
        await eventually(lambda: receiver.posts == [callback])
        await of_callbacks.stop()
        await of_metrics.stop()
        receiver.close()


async def test_a_client_certificate(
    start_agent, tracetail, loki: LokiStandIn, state_dir: Path, strict_front: TlsFront, authority: Authority
) -> None:
    certificate, key = authority.sign("agent-of-node1")
    config = f'[loki]\nca_file = "{authority.certificate}"\ncert_file = "{certificate}"\nkey_file = "{key}"\n'
    await shown_to_work(start_agent, tracetail, loki, state_dir, strict_front.url, config)
    assert set(strict_front.clients) == {"agent-of-node1"}


async def test_a_proxy_to_plain_http(
    start_agent, tracetail, loki: LokiStandIn, state_dir: Path, proxy: Proxy
) -> None:
    config = f'[loki]\nproxy = "http://anna:geheim@127.0.0.1:{proxy.port}"\n'
    # Only the proxy resolves this name: requests that arrive have come through it.
    url = loki.url.replace("127.0.0.1", "localhost")
    await shown_to_work(start_agent, tracetail, loki, state_dir, url, config)
    assert f"POST {url}/loki/api/v1/push" in proxy.targets
    assert any(target.startswith(f"GET {url}/loki/api/v1/query_range") for target in proxy.targets)


async def test_a_proxy_to_tls(
    start_agent,
    tracetail,
    loki: LokiStandIn,
    state_dir: Path,
    proxy: Proxy,
    front: TlsFront,
    authority: Authority,
) -> None:
    config = f'[loki]\nproxy = "http://anna:geheim@127.0.0.1:{proxy.port}"\nca_file = "{authority.certificate}"\n'
    await shown_to_work(start_agent, tracetail, loki, state_dir, front.url, config)
    assert set(proxy.targets) == {f"CONNECT 127.0.0.1:{front.port}"}


def wanted(tenant: str, authorization: str) -> Callable[[Mapping[str, str]], int]:
    def guard(headers: Mapping[str, str]) -> int:
        if headers.get("Authorization") != authorization:
            return 401
        return 200 if headers.get("X-Scope-OrgID") == tenant else 403

    return guard


async def test_basic_auth_with_a_password_from_a_file_and_a_tenant(
    start_agent, tracetail, loki: LokiStandIn, state_dir: Path, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("gehéim:1\n")
    pair = base64.b64encode("anna:gehéim:1".encode()).decode()
    loki.guard = wanted("team-a", f"Basic {pair}")
    config = f'[loki]\ntenant = "team-a"\nusername = "anna"\npassword_file = "{password}"\n'
    await shown_to_work(start_agent, tracetail, loki, state_dir, loki.url, config)
    assert loki.refused == 0


async def test_a_bearer_token_and_a_tenant(
    start_agent, tracetail, loki: LokiStandIn, state_dir: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    loki.guard = wanted("team-b", "Bearer t0ken")
    config = f'[loki]\ntenant = "team-b"\nbearer_token_file = "{token}"\n'
    await shown_to_work(start_agent, tracetail, loki, state_dir, loki.url, config)
    assert loki.refused == 0


@pytest.mark.parametrize(
    ("wrong", "setting", "words"),
    [
        ("authority", "loki.ca_file", "unable to get local issuer certificate"),
        ("none", "loki.ca_file", "unable to get local issuer certificate"),
        ("name", "loki.url", "IP address mismatch"),
        ("no client certificate", "loki.cert_file", "if it wants a client certificate"),
        ("strange client certificate", "loki.cert_file", "if it wants a client certificate"),
        ("plain http", "loki.url", "there is no TLS"),
        ("proxy password", "loki.proxy", "the proxy answers 407"),
        ("no proxy", "loki.proxy", "the proxy cannot be reached"),
    ],
)
async def test_a_connection_error_names_its_setting_and_loses_nothing(
    start_agent,
    tracetail,
    loki: LokiStandIn,
    state_dir: Path,
    tmp_path: Path,
    authority: Authority,
    front: TlsFront,
    strict_front: TlsFront,
    other_name: TlsFront,
    proxy: Proxy,
    wrong: str,
    setting: str,
    words: str,
) -> None:
    other = Authority(tmp_path / "theirs")
    theirs, their_key = other.sign("stranger")
    ca = f'ca_file = "{authority.certificate}"\n'
    url, config = {
        "authority": (front.url, f'ca_file = "{other.certificate}"\n'),
        "none": (front.url, ""),
        "name": (other_name.url, ca),
        "no client certificate": (strict_front.url, ca),
        "strange client certificate": (
            strict_front.url,
            f'{ca}cert_file = "{theirs}"\nkey_file = "{their_key}"\n',
        ),
        "plain http": (loki.url.replace("http:", "https:"), ca),
        "proxy password": (front.url, f'{ca}proxy = "http://anna:wrong-word@127.0.0.1:{proxy.port}"\n'),
        "no proxy": (front.url, f'{ca}proxy = "http://127.0.0.1:1"\n'),
    }[wrong]
    Launch(state_dir).print("kept")
    configured = f'[loki]\nurl = "{url}"\n{config}'
    agent = await start_agent(configured, environ={"TRACETAIL_LOKI_URL": None})
    await eventually(lambda: any("cannot be reached" in line for line in agent.errors))
    [said] = [line for line in agent.errors if "cannot be reached" in line]
    assert setting in said
    assert words in said
    assert setting in (await agent.status())["error"]
    assert "wrong-word" not in "".join(agent.errors)
    ran = await tracetail(url, "[loki]\n" + config, "verify", "--trace-id", TRACE)
    assert ran.status == 1
    assert setting in ran.out
    assert "Traceback" not in ran.out
    ran = await tracetail(url, "[loki]\n" + config, "doctor")
    assert "cannot be reached: " in ran.out
    assert setting in ran.out
    agent.configure(f'[loki]\nurl = "{loki.url}"\n')
    agent.signal(signal.SIGHUP)
    await loki.until(lambda: loki.lines() == ["kept"])


async def test_a_certificate_that_is_renewed_is_used_without_a_restart(
    start_agent, loki: LokiStandIn, state_dir: Path, tmp_path: Path, authority: Authority, strict_front: TlsFront
) -> None:
    other = Authority(tmp_path / "theirs")
    theirs, their_key = other.sign("stranger")
    certificate, key = tmp_path / "agent.pem", tmp_path / "agent.key"
    certificate.write_bytes(theirs.read_bytes())
    key.write_bytes(their_key.read_bytes())
    Launch(state_dir).print("waits")
    config = f'[loki]\nca_file = "{authority.certificate}"\ncert_file = "{certificate}"\nkey_file = "{key}"\n'
    agent = await start_agent(config, strict_front.url)
    await eventually(lambda: any("loki.cert_file" in line for line in agent.errors))
    ours, our_key = authority.sign("renewed")
    key.write_bytes(our_key.read_bytes())
    certificate.write_bytes(ours.read_bytes())
    await loki.until(lambda: loki.lines() == ["waits"])
    assert set(strict_front.clients) == {"renewed"}


async def test_a_token_that_is_rotated_is_used_after_a_401_without_a_restart(
    start_agent, loki: LokiStandIn, state_dir: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    loki.guard = lambda headers: 200 if headers.get("Authorization") == "Bearer new" else 401
    Launch(state_dir).print("kept")
    agent = await start_agent(f'[loki]\nbearer_token_file = "{token}"\n')
    await eventually(lambda: any("look at loki.bearer_token_file" in line for line in agent.errors))
    token.unlink()  # as some tools rotate: for a moment there is none
    token.write_text("new\n")
    await loki.until(lambda: loki.lines() == ["kept"], 60)
    assert (await agent.status())["healthy"]


async def test_a_token_file_that_is_deleted_while_the_agent_runs_delays_it(
    start_agent, loki: LokiStandIn, state_dir: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("t\n")
    launch = Launch(state_dir)
    launch.print("one")
    agent = await start_agent(f'[loki]\nbearer_token_file = "{token}"\n')
    await loki.until(lambda: loki.lines() == ["one"])
    token.unlink()
    launch.print("two")
    await eventually(lambda: any("loki.bearer_token_file cannot be read" in line for line in agent.errors))
    launch.print("three")
    token.write_text("t\n")
    await loki.until(lambda: loki.lines() == ["one", "two", "three"])
    assert not [line for line in agent.errors if "Traceback" in line]
