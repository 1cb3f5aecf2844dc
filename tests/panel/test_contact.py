"""A launch whose machine is gone: by the heartbeats of its agent, in the API, the list and the live stream."""

import time

import pytest
from support import trace_lines
from support.panel_browser import opened, part, until
from support.panel_stream import Viewing
from support.waiting import eventually

from tracetail.contract import heartbeat
from tracetail.contract.heartbeat import LAUNCHES_PER_LINE, SERVICE, heartbeat_lines, parse_heartbeat
from tracetail.panel.trace import feed

SECOND = 10**9
LABELS = {**trace_lines.LABELS, "host": "gpu-07"}


def add_ready(loki, labels=LABELS, *, seconds_ago):
    start = time.time_ns() - seconds_ago * SECOND
    loki.add(labels, start, "started port=8000 pid=71", kind="event", level="info")
    loki.add(labels, start + SECOND, "ready seconds=1.0", kind="event", level="info")


def add_heartbeat(loki, *launch_ids, seconds_ago, host="gpu-07"):
    at = time.time_ns() - seconds_ago * SECOND
    for line in heartbeat_lines(launch_ids, 30):
        loki.add({"service_name": SERVICE, "host": host}, at, line)
    return at


async def launch_of(panel, trace_id="t1"):
    (launch,) = (await panel.get("/api/launches", traceId=trace_id))["launches"]
    return launch


def test_a_heartbeat_of_any_number_of_launches_is_lines_of_bounded_length():
    ids = [f"20261122T120000-{number:06x}" for number in range(450)]
    lines = list(heartbeat_lines(ids, 30))
    assert [len(parse_heartbeat(line).launch_ids) for line in lines] == [LAUNCHES_PER_LINE, LAUNCHES_PER_LINE, 50]
    assert [one for line in lines for one in parse_heartbeat(line).launch_ids] == ids
    assert max(map(len, lines)) < 5000
    assert list(heartbeat_lines([], 30)) == []
    assert parse_heartbeat("heartbeat of the engine lost") is None


async def test_contact_is_lost_when_heartbeats_stop_and_back_when_they_come_again(loki, panel):
    add_ready(loki, seconds_ago=3600)
    at = add_heartbeat(loki, LABELS["launchId"], seconds_ago=240)
    launch = await launch_of(panel)
    assert (launch["state"], launch["lostContact"], launch["lastHeardAt"]) == ("ready", True, str(at))
    again = add_heartbeat(loki, LABELS["launchId"], "20261122T120009-bbbbbb", seconds_ago=3)

    async def heard():
        launch = await launch_of(panel)
        return launch["lastHeardAt"] == str(again) and "lostContact" not in launch

    await eventually(heard, "the launch is heard of again")


async def test_a_launch_that_has_ended_or_that_no_agent_reports_is_not_lost(loki, panel):
    add_ready(loki, seconds_ago=3600)
    assert "lastHeardAt" not in await launch_of(panel)
    ended = {**LABELS, "traceId": "t2", "launchId": "20261122T120001-bbbbbb"}
    add_ready(loki, ended, seconds_ago=3600)
    add_heartbeat(loki, ended["launchId"], seconds_ago=1800)
    loki.add(ended, time.time_ns() - 1790 * SECOND, "exited state=stopped seconds=9", kind="event", level="info")
    launch = await launch_of(panel, "t2")
    assert (launch["state"], "lostContact" in launch, "lastHeardAt" in launch) == ("stopped", False, False)


async def test_a_launch_whose_lines_arrive_is_not_lost(loki, panel):
    add_ready(loki, seconds_ago=3600)
    add_heartbeat(loki, LABELS["launchId"], seconds_ago=1800)
    loki.add(LABELS, time.time_ns() - SECOND, "INFO still here", level="info")
    assert "lostContact" not in await launch_of(panel)


async def test_a_launch_whose_last_line_is_as_old_as_its_heartbeat_is_lost(loki, panel):
    add_ready(loki, seconds_ago=3600)
    add_heartbeat(loki, LABELS["launchId"], seconds_ago=240)
    loki.add(LABELS, time.time_ns() - 150 * SECOND, "INFO the last one", level="info")
    assert (await launch_of(panel)).get("lostContact")


async def test_the_list_is_filtered_for_launches_without_contact(loki, panel):
    for number, ago in enumerate((5, 300, 86_000)):
        labels = {**LABELS, "traceId": f"t{number}", "launchId": f"20261122T12000{number}-aaaaaa"}
        add_ready(loki, labels, seconds_ago=90_000)
        add_heartbeat(loki, labels["launchId"], seconds_ago=ago)

    async def traces(**query):
        return [launch["traceId"] for launch in (await panel.get("/api/launches", **query))["launches"]]

    assert await traces(state="lost") == ["t2", "t1"]
    assert await traces(state="ready") == ["t0"]
    assert await traces() == ["t2", "t1", "t0"]


async def test_heartbeats_are_no_lines_of_a_launch(loki, panel):
    add_ready(loki, seconds_ago=60)
    add_heartbeat(loki, LABELS["launchId"], seconds_ago=30)
    page = await panel.get("/api/logs", traceId="t1")
    assert [line["text"] for line in page["lines"]] == ["started port=8000 pid=71", "ready seconds=1.0"]
    index = await panel.get("/api/logs/index", traceId="t1")
    assert index["counts"] == {LABELS["launchId"]: 2}
    assert [launch["traceId"] for launch in (await panel.get("/api/launches"))["launches"]] == ["t1"]


async def test_viewers_learn_that_contact_is_lost_and_that_it_is_back(loki, panel, monkeypatch):
    monkeypatch.setattr(feed, "CONTACT_SECONDS", 0.1)
    add_ready(loki, seconds_ago=3600)
    add_heartbeat(loki, LABELS["launchId"], seconds_ago=60)
    async with Viewing(panel.session, panel.url, "t1") as viewing:

        def last(viewing):
            return viewing.named("launches")[-1]["launches"][0] if viewing.named("launches") else {}

        await viewing.until(lambda v: "lastHeardAt" in last(v) and "lostContact" not in last(v))
        monkeypatch.setattr(heartbeat, "OVERDUE_INTERVALS", 1.0)  # as if it were another minute later
        await viewing.until(lambda v: last(v).get("lostContact"))
        loki.add(LABELS, time.time_ns(), "INFO back", level="info")
        await viewing.until(lambda v: "INFO back" in v.texts and "lostContact" not in last(v))
        loki.add(LABELS, time.time_ns(), "exited state=stopped seconds=9", kind="event", level="info")
        await viewing.until(lambda v: last(v)["state"] == "stopped")
        assert "lastHeardAt" not in last(viewing)


@pytest.mark.needs("chromium")
async def test_log_and_list_show_how_long_ago_a_lost_machine_was_heard_of(loki, panel, browser):
    add_ready(loki, seconds_ago=3600)
    add_heartbeat(loki, LABELS["launchId"], seconds_ago=245)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{part('.link')}.dataset.link === 'silent'")
        assert await page.locator(".head .state").inner_text() == "Lost contact"
        assert "last heard 4 min ago" in await page.locator(".facts").inner_text()
        assert await page.locator(".link").inner_text() == "Lost contact with the machine"
        assert "Following" not in await page.locator(".foot").inner_text()
    async with opened(browser, f"{panel.url}/panel?locale=zh") as page:
        await until(page, f"{part('.list td .state')} !== null")
        state = page.locator(".list tbody td").first
        assert await state.inner_text() == "失去联系\n4 分钟前有消息"
        await page.get_by_label("状态").select_option("ready")
        await until(page, f"{part('.list tbody')}.children.length === 0")


@pytest.mark.needs("chromium")
async def test_a_line_that_comes_is_word_of_its_machine(loki, panel, browser, monkeypatch):
    monkeypatch.setattr(feed, "CONTACT_SECONDS", 1000.0)  # launches are not reported again
    add_ready(loki, seconds_ago=3600)
    add_heartbeat(loki, LABELS["launchId"], seconds_ago=75)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{part('.heard')}.textContent === 'last heard 1 min ago'")
        loki.add(LABELS, time.time_ns(), "INFO here", level="info")
        await until(page, f"/^last heard [0-9] s ago$/.test({part('.heard')}.textContent)")
