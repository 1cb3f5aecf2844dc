"""No client of the agent follows a redirect: what it sends, and its credentials, are for the host that was named."""

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tracetail.agent.metrics.pushgateway import PushError, Pushgateway
from tracetail.agent.metrics.remote_write import RefusedError, RemoteWriter
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings


@pytest.fixture
async def redirecting():
    """Yield a server that redirects everything to another one, and the requests that the other one gets."""
    followed = []

    async def accept(request):
        followed.append(request.path)
        return web.json_response({"success": True}, status=200)

    other = web.Application()
    other.router.add_route("*", "/{path:.*}", accept)
    async with TestServer(other) as target:

        async def redirect(request):
            raise web.HTTPTemporaryRedirect(str(target.make_url(request.path)))

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", redirect)
        async with TestServer(app) as server:
            yield str(server.make_url("")).rstrip("/"), followed


async def test_a_push_to_loki(redirecting):
    url, followed = redirecting
    async with LokiClient(LokiSettings(url=url)) as loki:
        assert (await loki.push(b"")).status == 307
    assert followed == []


async def test_metrics_for_a_pushgateway(redirecting):
    url, followed = redirecting
    async with aiohttp.ClientSession() as session:
        with pytest.raises(PushError, match="was answered 307"):
            await Pushgateway(session, url, job="tracetail", host="m1").replace(b"")
    assert followed == []


async def test_samples_for_a_remote_write_receiver(redirecting):
    url, followed = redirecting
    async with aiohttp.ClientSession() as session:
        with pytest.raises(RefusedError, match="answered 307"):
            await RemoteWriter(session, url, headers=dict).send(b"")
    assert followed == []
