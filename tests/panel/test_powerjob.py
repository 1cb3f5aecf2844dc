import contextlib
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tracetail.panel.powerjob import PowerJob, PowerJobUnavailableError
from tracetail.panel.settings import PanelSettings


class FakePowerJob:
    """Answers as PowerJob 5.1 does; a log that is requested too early stays empty, as in PowerJob."""

    def __init__(self):
        self.status = 1
        self.lines = []
        self.lost_log = False
        self.preparing = False
        self.requests = []

    async def fetch_status(self, request):
        self.requests.append("status")
        assert request.query["appId"] == "4"
        return web.json_response({"success": True, "data": self.status})

    async def log(self, request):
        self.requests.append("log")
        if self.status < 3:
            self.lost_log = True
        assert request.headers["PowerJwt"] == "jwt"
        if self.preparing:  # StringPage.simple() of powerjob-server-core's InstanceLogService
            page = {"index": 0, "totalPages": 1, "data": "log file is being prepared, please try again later."}
            return web.json_response({"success": True, "message": None, "data": page})
        index = int(request.query["index"])
        shown = [] if self.lost_log else self.lines[index * 100 : index * 100 + 100]
        data = {"index": index, "totalPages": -(-len(self.lines) // 100), "data": "\n".join(shown)}
        return web.json_response({"success": True, "message": None, "data": data})


@pytest.fixture
async def powerjob():
    fake = FakePowerJob()
    app = web.Application()
    app.add_routes([web.post("/openApi/fetchInstanceStatus", fake.fetch_status), web.get("/instance/log", fake.log)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@contextlib.asynccontextmanager
async def panel_with(start_panel, loki, powerjob, tmp_path):
    (tmp_path / "jwt").write_text("jwt\n")
    async with start_panel(
        loki.url, powerjob_url=powerjob.url, powerjob_app_id=4, powerjob_token_file=str(tmp_path / "jwt")
    ) as panel:
        yield panel


async def test_the_online_log_is_requested_only_once_the_run_is_running(loki, powerjob, start_panel, tmp_path):
    async with panel_with(start_panel, loki, powerjob, tmp_path) as panel:
        answer = await panel.get("/llm/logs", instanceId="1008611")
        assert (answer["lines"], answer["state"], answer["source"]) == ([], "waiting", "powerjob")
        assert not powerjob.lost_log
        powerjob.status = 3
        powerjob.lines = [f"2026-11-22 21:12:10.123 [10.0.0.1] INFO line {i}" for i in range(250)]
        got, line = [], 0
        for _ in range(10):
            answer = await panel.get("/llm/logs", instanceId="1008611", fromLine=line, limit=70)
            got += answer["lines"]
            line = answer["nextLine"]
        assert got == powerjob.lines
        powerjob.status = 5
        assert (await panel.get("/llm/logs", instanceId="1008611", fromLine=250))["finished"] is True


async def test_a_log_that_is_being_prepared_is_a_wait_and_not_a_line(loki, powerjob, start_panel, tmp_path):
    async with panel_with(start_panel, loki, powerjob, tmp_path) as panel:
        powerjob.status = 5
        powerjob.lines = ["line"]
        powerjob.preparing = True
        answer = await panel.get("/llm/logs", instanceId="1008611")
        assert (answer["lines"], answer["nextLine"], answer["finished"]) == ([], 0, False)
        powerjob.preparing = False
        answer = await panel.get("/llm/logs", instanceId="1008611", fromLine=answer["nextLine"])
        assert (answer["lines"], answer["finished"]) == (["line"], True)


async def test_powerjob_is_not_queried_for_a_run_that_loki_has(loki, powerjob, start_panel, tmp_path):
    labels = {"traceId": "t1", "instanceId": "1008611", "launchId": "20261122T120000-aaaaaa", "service_name": "m"}
    loki.add(labels, time.time_ns(), "from loki")
    async with panel_with(start_panel, loki, powerjob, tmp_path) as panel:
        assert (await panel.get("/llm/logs", instanceId="1008611"))["lines"] == ["from loki"]
        assert powerjob.requests == []


async def test_the_fallback_is_off_by_default(panel):
    assert "error" in await panel.get("/llm/logs", instanceId="1008611", status=404)


async def test_the_token_of_powerjob_goes_to_no_other_host(tmp_path):
    tokens = []

    async def elsewhere(request):
        tokens.append(request.headers.get("PowerJwt"))
        return web.json_response({"success": True, "data": 5})

    (tmp_path / "token").write_text("of the console")
    other = web.Application()
    other.router.add_route("*", "/{path:.*}", elsewhere)
    async with TestServer(other) as target:

        async def redirect(request):
            raise web.HTTPFound(str(target.make_url(request.path)))

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", redirect)
        async with TestServer(app) as server:
            url = str(server.make_url("")).rstrip("/")
            client = PowerJob.from_settings(
                PanelSettings(powerjob_url=url, powerjob_app_id=1, powerjob_token_file=str(tmp_path / "token"))
            )
            with pytest.raises(PowerJobUnavailableError, match="answered: 302"):
                await client.lines("1", 0, 10)
            await client.close()
    assert tokens == []
