"""The fallback to PowerJob's online log, against the recorded answers of a PowerJob 5.1.1."""

import asyncio
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.recorded_powerjob import LONG_RUN, RecordedPowerJob

from tracetail.contract.secret_file import SecretFileError
from tracetail.panel.powerjob import PowerJob, PowerJobUnavailableError
from tracetail.panel.settings import PanelSettings


@pytest.fixture
async def powerjob():
    recorded = RecordedPowerJob()
    async with TestServer(recorded.app()) as server:
        recorded.url = str(server.make_url("")).rstrip("/")
        yield recorded


@pytest.fixture
def credentials(powerjob, tmp_path):
    """Return the settings for the recorded server."""
    (tmp_path / "app").write_text("app secret\n")
    (tmp_path / "user").write_text("powerjob_admin\n")
    return {
        "powerjob_url": powerjob.url,
        "powerjob_app_name": "llm-test",
        "powerjob_app_password_file": str(tmp_path / "app"),
        "powerjob_user": "ADMIN",
        "powerjob_password_file": str(tmp_path / "user"),
    }


@pytest.fixture
async def fallback(loki, start_panel, powerjob, credentials):
    """Return a panel that falls back to the recorded server."""
    async with start_panel(loki.url, **credentials) as panel:
        yield panel


@pytest.mark.parametrize(("state", "started_ago"), [("waiting", 60), ("running", 3), ("failed", 3)])
async def test_no_log_is_requested_before_its_first_line_is_there(fallback, powerjob, state, started_ago):
    powerjob.state, powerjob.started_ago, powerjob.ended_ago = state, started_ago, started_ago
    answer = await fallback.get("/llm/logs", instanceId=LONG_RUN)
    assert (answer["lines"], answer["state"], answer["finished"]) == ([], state, False)
    assert "log" not in powerjob.requests
    powerjob.started_ago = powerjob.ended_ago = 60
    powerjob.state = "succeeded"
    assert (await fallback.get("/llm/logs", instanceId=LONG_RUN))["lines"]


async def test_pages_of_any_size_make_up_the_log(fallback, powerjob):
    powerjob.state = "succeeded"
    got, answer = [], {"nextLine": 0, "finished": False}
    while not answer["finished"]:
        answer = await fallback.get("/llm/logs", instanceId=LONG_RUN, fromLine=answer["nextLine"], limit=70)
        got += answer["lines"]
    assert got == powerjob.lines()
    assert any("a\u2028b\vc" in line for line in got)


async def test_a_run_is_finished_once_its_last_lines_have_had_their_time(fallback, powerjob):
    powerjob.state, powerjob.ended_ago = "succeeded", 5
    answer = await fallback.get("/llm/logs", instanceId=LONG_RUN)
    assert (answer["state"], answer["finished"], answer["more"]) == ("succeeded", False, False)
    powerjob.ended_ago = 25
    assert (await fallback.get("/llm/logs", instanceId=LONG_RUN))["finished"] is True


async def test_a_log_that_is_being_prepared_is_a_wait_and_not_a_line(fallback, powerjob):
    powerjob.state = "succeeded"
    # Not recorded: StringPage.simple() of powerjob-server-core's InstanceLogService after 5 s.
    text = "log file is being prepared, please try again later."
    powerjob.log = {"index": 0, "totalPages": 1, "data": text}
    answer = await fallback.get("/llm/logs", instanceId=LONG_RUN)
    assert (answer["lines"], answer["nextLine"], answer["finished"]) == ([], 0, False)
    powerjob.log = ""
    answer = await fallback.get("/llm/logs", instanceId=LONG_RUN, fromLine=answer["nextLine"])
    assert (answer["lines"], answer["finished"]) == (powerjob.lines(), True)


async def test_that_there_is_no_log_is_no_line(fallback, powerjob):
    powerjob.state, powerjob.log = "succeeded", "log: asked for too early, a minute later"
    answer = await fallback.get("/llm/logs", instanceId=LONG_RUN)
    assert (answer["lines"], answer["finished"]) == ([], True)


async def test_a_log_that_the_server_cannot_read_is_an_error(fallback, powerjob):
    powerjob.log = {"index": 0, "totalPages": 1, "data": "oms-server execution exception, caused by IOException: x"}
    error = (await fallback.get("/llm/logs", instanceId=LONG_RUN, status=502))["error"]
    assert "caused by IOException" in error["message"]


@pytest.mark.parametrize("instance_id", ["1", "9" * 20, "no-number", "7-8"])
async def test_an_unknown_run_is_not_found(fallback, instance_id):
    error = (await fallback.get("/llm/logs", instanceId=instance_id, status=404))["error"]
    assert error["code"] == "not_found"


async def test_a_run_of_another_app_is_not_found(loki, start_panel, powerjob, credentials, monkeypatch):
    monkeypatch.setattr(powerjob, "_refusal_of_app", lambda headers: "")
    settings = {**credentials, "powerjob_app_name": "", "powerjob_app_password_file": "", "powerjob_app_id": 2}
    async with start_panel(loki.url, **settings) as panel:
        assert "error" in await panel.get("/llm/logs", instanceId=LONG_RUN, status=404)
    assert "log" not in powerjob.requests


async def test_expired_tokens_are_replaced_once_for_all_requests(fallback, powerjob):
    await fallback.get("/llm/logs", instanceId=LONG_RUN)
    powerjob.valid.clear()
    powerjob.requests.clear()
    answers = await asyncio.gather(*(fallback.get("/llm/logs", instanceId=LONG_RUN) for _ in range(8)))
    assert all(answer["lines"] == powerjob.lines() for answer in answers)
    assert [powerjob.requests.count(login) for login in ("authApp", "login")] == [1, 1]


async def test_a_changed_password_is_used_without_a_restart(fallback, powerjob, tmp_path):
    (tmp_path / "user").write_text("old")
    error = (await fallback.get("/llm/logs", instanceId=LONG_RUN, status=502))["error"]
    assert error["message"] == "PowerJob answered: password is incorrect for user ADMIN"
    (tmp_path / "user").write_text("powerjob_admin")
    assert (await fallback.get("/llm/logs", instanceId=LONG_RUN))["lines"]


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("powerjob_app_name", "_appId_in_header; set panel.powerjob_app_name and powerjob_app_password_file"),
        ("powerjob_user", "UserNotLoggedIn; set panel.powerjob_user and powerjob_password_file"),
    ],
)
async def test_missing_credentials_are_named(loki, start_panel, powerjob, credentials, left_out, message):
    settings = {name: value for name, value in credentials.items() if name != left_out}
    async with start_panel(loki.url, **settings) as panel:
        error = (await panel.get("/llm/logs", instanceId=LONG_RUN, status=502))["error"]
    assert error["code"] == "powerjob_unavailable"
    assert error["message"].endswith(message)


@pytest.mark.parametrize("name", ["powerjob_app", "powerjob"])
def test_a_name_without_a_password_is_refused(credentials, name):
    del credentials[f"{name}_password_file"]
    with pytest.raises(SecretFileError, match=f"panel.{name}_password_file is not set"):
        PowerJob.from_settings(PanelSettings(**credentials))


async def test_powerjob_is_not_queried_for_a_run_that_loki_has(loki, fallback, powerjob):
    labels = {"traceId": "t1", "instanceId": LONG_RUN, "launchId": "20261122T120000-aaaaaa", "service_name": "m"}
    loki.add(labels, time.time_ns(), "from loki")
    assert (await fallback.get("/llm/logs", instanceId=LONG_RUN))["lines"] == ["from loki"]
    assert powerjob.requests == []


async def test_the_fallback_is_off_by_default(panel):
    assert "error" in await panel.get("/llm/logs", instanceId=LONG_RUN, status=404)


async def test_credentials_go_to_no_other_host(credentials):
    received = []

    async def elsewhere(request):
        received.append((dict(request.headers), await request.text()))
        return web.json_response({"success": True, "data": {}})

    other = web.Application()
    other.router.add_route("*", "/{path:.*}", elsewhere)
    async with TestServer(other) as target:

        async def redirect(request):
            raise web.HTTPTemporaryRedirect(str(target.make_url(request.path)))

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", redirect)
        async with TestServer(app) as server:
            settings = PanelSettings(**{**credentials, "powerjob_url": str(server.make_url(""))})
            client = PowerJob.from_settings(settings)
            with pytest.raises(PowerJobUnavailableError, match="answered: 307"):
                await client.lines("1", 0, 10)
            await client.close()
    assert received == []
