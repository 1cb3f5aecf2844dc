import asyncio
import json
import urllib.request

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from support.monitoring import get, pushgateway
from support.waiting import eventually

from tracetail.agent.metrics.pushgateway import PushError, Pushgateway, push_regularly


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="module")
def gateway_url(tmp_path_factory):
    with pushgateway(tmp_path_factory.mktemp("pushgateway")) as url:
        yield url


def _registry(*launches):
    registry = CollectorRegistry()
    up = Gauge("tracetail_server_up", "1 while ready.", ["launch_id", "service_name"], registry=registry)
    for launch in launches:
        up.labels(launch, "Qwen/Qwen2-7B").set(1)
    return registry


def _pushes(registry, result):
    return registry.get_sample_value("tracetail_agent_pushgateway_pushes_total", {"result": result}) or 0


def _groups(url):
    return [group["labels"] for group in json.loads(get(f"{url}/api/v1/metrics"))["data"]]


def _delete_all(url):
    urllib.request.urlopen(urllib.request.Request(f"{url}/metrics/job/tracetail/host/m1", method="DELETE")).close()


@pytest.mark.needs("prometheus-pushgateway")
async def test_a_push_replaces_the_group_without_ended_launches(session, gateway_url):
    gateway = Pushgateway(session, gateway_url, job="tracetail", host="m1")

    await gateway.replace(generate_latest(_registry("launch-1", "launch-2")))
    text = get(f"{gateway_url}/metrics")
    assert (
        'tracetail_server_up{host="m1",instance="",job="tracetail",launch_id="launch-1",'
        'service_name="Qwen/Qwen2-7B"} 1' in text
    )
    assert "launch-2" in text

    await gateway.replace(generate_latest(_registry("launch-2")))
    text = get(f"{gateway_url}/metrics")
    assert "launch-1" not in text
    assert "launch-2" in text
    _delete_all(gateway_url)


@pytest.mark.needs("prometheus-pushgateway")
async def test_machines_do_not_overwrite_each_other(session, gateway_url):
    first = Pushgateway(session, gateway_url, job="tracetail", host="m1")
    second = Pushgateway(session, gateway_url, job="tracetail", host="odd/名")

    await first.replace(generate_latest(_registry("a")))
    await second.replace(generate_latest(_registry("b")))
    assert sorted(group["host"] for group in _groups(gateway_url)) == ["m1", "odd/名"]

    await first.delete()
    await second.delete()
    # The gateway answers before it has deleted the group.
    await eventually(lambda: _groups(gateway_url) == [], "both groups deleted")


@pytest.mark.needs("prometheus-pushgateway")
async def test_a_refusal_of_the_gateway_is_an_error_with_its_text(session, gateway_url):
    gateway = Pushgateway(session, gateway_url, job="tracetail", host="m1")

    with pytest.raises(PushError, match=r"answered 400: .*text format parsing error"):
        await gateway.replace(b"this is { not a metric\n")


@pytest.mark.needs("prometheus-pushgateway")
async def test_the_loop_pushes_again_and_again_and_deletes_its_group_at_the_end(session, gateway_url):
    registry = CollectorRegistry()
    seen = Counter("seen", "Times collected.", registry=registry)
    gateway = Pushgateway(session, gateway_url, job="tracetail", host="m1")
    loop = asyncio.create_task(push_regularly(gateway, registry, interval_seconds=0.01))

    seen.inc(41)
    seen.inc()
    await eventually(lambda: _pushes(registry, "ok") >= 3, "three pushes")
    assert "seen_total{" in get(f"{gateway_url}/metrics")
    assert _groups(gateway_url) == [{"job": "tracetail", "host": "m1"}]

    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    await eventually(lambda: _groups(gateway_url) == [], "its group deleted")


async def test_a_push_is_repeated_after_an_error_of_the_gateway(session, caplog):
    answers = [500, 503, 200]
    authorizations = []

    async def answer(request):
        authorizations.append(request.headers.get("Authorization"))
        return web.Response(status=answers.pop(0) if answers else 200)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    registry = CollectorRegistry()
    gateway = Pushgateway(
        session, f"http://127.0.0.1:{port}/", job="j", host="h", headers=lambda: {"Authorization": "Bearer secret"}
    )
    loop = asyncio.create_task(push_regularly(gateway, registry, interval_seconds=0.01))
    try:
        await eventually(lambda: _pushes(registry, "ok") >= 1, "a push that is taken")
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await runner.cleanup()

    assert _pushes(registry, "failed") == 2
    assert authorizations[0] == "Bearer secret"
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1, "an unreachable gateway is not logged at every push"
