import contextlib

import aiohttp
import pytest
from aiohttp import web
from support.panel_browser import chromium
from support.panel_loki import nasty_loki

from tracetail.loki.settings import LokiSettings
from tracetail.panel.server import PanelServer
from tracetail.panel.settings import PanelSettings


@pytest.fixture(scope="session")
async def browser():
    """Return the Chromium of this worker: each test opens a context of its own in it."""
    async with chromium() as started:
        yield started


@pytest.fixture
async def loki():
    async with nasty_loki() as started:
        yield started


class RunningPanel:
    """A panel that listens on a socket, and an HTTP session for it."""

    def __init__(self, server, url, session):
        self.server = server
        self.url = url
        self.session = session

    async def get(self, path, *, status=200, headers=None, **params):
        async with self.session.get(self.url + path, params=params, headers=headers) as response:
            assert response.status == status, await response.text()
            return await response.json()

    async def post(self, path, body, *, status=200, headers=None):
        async with self.session.post(self.url + path, json=body, headers=headers) as response:
            assert response.status == status, await response.text()
            return await response.json()


@contextlib.asynccontextmanager
async def running_panel(loki_url, *, structured_metadata=True, bearer_token_file="", redactor=None, **settings):
    server = PanelServer(
        PanelSettings(**{"tick_seconds": 0.05, "heartbeat_seconds": 0.5, **settings}),
        LokiSettings(url=loki_url, structured_metadata=structured_metadata, bearer_token_file=bearer_token_file),
        redactor,
    )
    runner = server.runner()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session:
        try:
            yield RunningPanel(server, url, session)
        finally:
            await session.close()
            await runner.cleanup()


@pytest.fixture
async def panel(loki):
    async with running_panel(loki.url) as started:
        yield started


@pytest.fixture(scope="session")
def start_panel():
    return running_panel
