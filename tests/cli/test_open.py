"""`tracetail open`: the address it prints is one that the panel answers with the launch."""

import asyncio
import os
import socket
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession, web
from support import commands
from support.launch_records import write_launch
from support.other_user import NOBODY, needs_root

from tracetail.contract import shared_secret
from tracetail.loki.settings import LokiSettings
from tracetail.panel.server import PanelServer
from tracetail.panel.settings import PanelSettings

LAUNCH = "20261127T100000-0000a1"


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACETAIL_STATE_DIR", str(tmp_path))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    shared_secret.ensure(os.environ)
    write_launch(tmp_path, LAUNCH, traceId="trace-7", modelName="qwen")
    return tmp_path


def run_open(*arguments, **environ):
    return commands.run("open", *arguments, text=True, env={**os.environ, **environ}, timeout=60)


@pytest.fixture
async def panel(state):
    """The address of a panel with the secret of the state directory, in front of no Loki."""
    del state
    secret = str(shared_secret.find(os.environ))
    runner = PanelServer(PanelSettings(), LokiSettings(url="http://127.0.0.1:9"), None, secret).runner()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(("what", "shown"), [([LAUNCH[-4:]], LAUNCH), (["qwen"], LAUNCH), (["trace-7"], None)])
async def test_the_address_opens_the_launch(panel, what, shown):
    done = await asyncio.to_thread(run_open, *what, TRACETAIL_PANEL_LISTEN=panel)

    address = urlsplit(done.stdout.strip())
    query = parse_qs(address.query)
    assert (query["traceId"], query.get("launchId")) == (["trace-7"], [shown] if shown else None)
    token = parse_qs(address.fragment)["token"][0]
    async with ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        async with session.get(f"http://{panel}{address.path}?{address.query}") as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
        async with session.get(f"http://{panel}/api/logs?traceId=trace-7") as answer:
            assert answer.status == 502, "the token is accepted; only Loki is missing"
        async with session.get(f"http://{panel}/api/logs?traceId=trace-8") as answer:
            assert answer.status == 403, "the token is for this trace alone"


@pytest.mark.usefixtures("state")
def test_no_panel_is_said_with_what_to_do():
    done = run_open("qwen", TRACETAIL_PANEL_LISTEN="127.0.0.1:9")

    assert done.returncode == 1
    assert "no panel listens at 127.0.0.1:9: start one with `tracetail up`, or set panel.url" in done.stderr


@pytest.mark.usefixtures("state")
def test_a_panel_elsewhere_gets_no_token_of_this_machine():
    done = run_open("qwen", TRACETAIL_PANEL_URL="https://logs.example/tt/")

    assert done.stdout == f"https://logs.example/tt/panel?launchId={LAUNCH}&traceId=trace-7\n"


@needs_root
def test_no_token_is_given_to_a_page_of_somebody_else_at_the_panels_port(state):
    os.seteuid(NOBODY.pw_uid)
    try:
        stranger = socket.create_server(("127.0.0.1", 0))
    finally:
        os.seteuid(0)
    with stranger:
        done = run_open("trace-7", TRACETAIL_PANEL_LISTEN=f"127.0.0.1:{stranger.getsockname()[1]}")
    assert done.returncode == 1
    assert "token=" not in done.stdout
    assert "user nobody listens at port" in done.stderr
