"""The list of recent launches in real Chromium: its filters, how far it is read on, and the address that has both."""

import time

import pytest
from support.panel_browser import NOTICE, PANEL, SEEN, opened, part, texts, until
from support.trace_lines import LABELS

pytestmark = pytest.mark.needs("chromium")

SECOND = 10**9
A = {**LABELS, "service_name": "Qwen/Qwen2-7B"}
ROWS = f"{PANEL}.shadowRoot.querySelectorAll('.list tbody tr').length"
HOSTS = texts(".list .host")


def add_launch(loki, number, state, **labels):
    """Add launch `number` of trace t<number>, on one of two hosts; higher ones are newer."""
    began = time.time_ns() - (300 - number) * SECOND
    fields = {"traceId": f"t{number}", "launchId": f"20261122T12{number:04}-aaaaaa", "host": f"gpu-{number % 2}"}
    labels = {**A, **fields, **labels}
    loki.add(labels, began, "started port=1", kind="event", level="info")
    loki.add(labels, began + SECOND, state, kind="event", level="info")


async def until_there(page, condition):
    """Wait until the expression is true on a page that may be loading."""
    await until(page, f"{PANEL} && {condition}")


async def test_the_list_is_filtered_read_on_and_kept_current(loki, panel, browser):
    for number in range(60):
        add_launch(loki, number, 'exited state=failed cause="no such model"' if number == 7 else "ready seconds=1")
    async with opened(browser, f"{panel.url}/panel?locale=en") as page:
        await until(page, f"{ROWS} === 50")
        await page.get_by_role("button", name="Show older launches").click()
        await until(page, f"{ROWS} === 60")
        add_launch(loki, 60, "ready seconds=1")
        await until(page, f"{ROWS} === 61")
        await page.get_by_label("Host", exact=True).select_option("gpu-1")
        await until(page, f"{ROWS} === 30")
        await page.get_by_role("searchbox").fill("Such Model")
        await until(page, f"{ROWS} === 1")
        await page.get_by_label("State", exact=True).select_option("ready")
        await page.get_by_text("No launch of this time matches.").wait_for()
        await page.get_by_label("State", exact=True).select_option("")
        await page.get_by_label("Host", exact=True).select_option("")
        await page.get_by_role("searchbox").fill("")
        await until(page, f"{ROWS} === 50")
        week_ago = time.time_ns() - 7 * 86_400 * 10**9 + 3600 * 10**9
        old = {**A, "traceId": "old", "launchId": "20261115T120000-aaaaaa", "service_name": "old-model"}
        loki.add(old, week_ago, "started port=1", kind="event", level="info")
        await page.get_by_label("Time", exact=True).select_option("168")
        await page.get_by_role("button", name="Show older launches").click()
        await until(page, f"{ROWS} === 62")
        await page.get_by_label("Model", exact=True).select_option("old-model")
        await until(page, f"{ROWS} === 1")
        assert page.wrong == []


async def test_launches_of_one_second_are_in_the_order_in_which_they_started(loki, panel, browser):
    for number, last in enumerate(("c", "a", "d", "b")):
        add_launch(loki, 1, "ready seconds=1", launchId=f"20261122T120001-aaaaa{last}", traceId=f"t{number}")
    async with opened(browser, f"{panel.url}/panel?locale=en") as page:
        await until_there(page, f"{ROWS} === 4")
        traces = f"[...{PANEL}.shadowRoot.querySelectorAll('.list tbody tr')].map((row) => row.dataset.trace).join()"
        assert await page.evaluate(traces) == "t3,t2,t1,t0"


async def test_a_chosen_language_stays_on_the_way_to_a_log_and_back(loki, panel, browser):
    add_launch(loki, 1, "ready seconds=1")
    async with opened(browser, f"{panel.url}/panel") as page:
        await page.get_by_role("button", name="中文").click()
        await until_there(page, "location.search === '?locale=zh'")
        await page.locator(".list a").click()
        await until_there(page, f"{SEEN}.length > 0")
        await page.get_by_role("button", name="English").click()
        await until_there(page, "location.search.includes('locale=en')")
        await page.get_by_role("link", name="Recent launches").click()
        await page.get_by_role("heading", name="Recent launches").wait_for()
        assert "locale=en" in page.url
        assert page.wrong == []


async def test_a_copied_address_shows_the_same_list(loki, panel, browser):
    for number in range(130):
        add_launch(loki, number, 'exited state=failed cause="no such model"' if number % 3 else "ready seconds=1")
    async with opened(browser, f"{panel.url}/panel?locale=zh") as page:
        await until(page, f"{ROWS} === 50")
        await page.get_by_label("状态", exact=True).select_option("failed")
        await until(page, "location.search.includes('state=failed')")
        await page.get_by_role("searchbox").fill("SUCH model")
        await page.get_by_label("时间", exact=True).select_option("24")
        await until(page, f"{texts('.list .why')}.join('').match(/no such model/g).length === 50")
        await page.get_by_role("button", name="显示更早的启动").click()
        await until(page, f"{ROWS} === 86")
        await until(page, "location.search.includes('through=20261122T120001-aaaaaa')")
        address = page.url
    assert "q=SUCH+model" in address
    add_launch(loki, 131, 'exited state=failed cause="no such model"')
    async with opened(browser, address) as page:
        await until(page, f"{ROWS} === 87")
        assert await page.get_by_label("状态", exact=True).input_value() == "failed"
        assert await page.get_by_role("searchbox").input_value() == "SUCH model"
        assert await page.get_by_label("时间", exact=True).input_value() == "24"
        assert page.wrong == []


async def test_back_and_forward_go_through_filters_and_logs(loki, panel, browser):
    for number in range(4):
        add_launch(loki, number, "ready seconds=1")
    async with opened(browser, f"{panel.url}/panel?locale=en") as page:
        await until_there(page, f"{ROWS} === 4")
        await page.get_by_label("Host", exact=True).select_option("gpu-1")
        await until_there(page, f"{ROWS} === 2")
        await page.get_by_role("searchbox").press_sequentially("t3")
        await until_there(page, f"{ROWS} === 1")
        await page.locator(".list a").click()
        await until_there(page, f"{SEEN}.length > 0")
        await page.go_back()
        await until_there(page, f"{ROWS} === 1")
        assert await page.get_by_role("searchbox").input_value() == "t3"
        assert await page.evaluate(f"{PANEL}.shadowRoot.activeElement.closest('tr').dataset.trace") == "t3"
        await page.go_back()
        await until_there(page, f"{ROWS} === 2")
        await page.go_back()
        await until_there(page, f"{ROWS} === 4")
        await page.go_forward()
        await until_there(page, f"{HOSTS}.join() === 'gpu-1,gpu-1'")
        await page.go_forward()
        await until_there(page, f"{ROWS} === 1")
        await page.go_forward()
        await until_there(page, f"{SEEN}.length > 0")
        # The way back in the head leads to the list as it was left.
        await page.get_by_role("link", name="Recent launches").click()
        await until_there(page, f"{ROWS} === 1")
        assert await page.get_by_label("Host", exact=True).input_value() == "gpu-1"


async def test_a_failed_launch_has_the_last_time_that_its_service_was_ready_beside_it(loki, panel, browser):
    add_launch(loki, 1, "ready seconds=1")
    add_launch(loki, 2, "ready seconds=1", env="prod")
    add_launch(loki, 3, 'exited state=failed cause="no such model"', host="gpu-9")
    add_launch(loki, 4, 'exited state=failed cause="a model that was never ready"', service_name="other")
    async with opened(browser, f"{panel.url}/panel?locale=en&state=failed") as page:
        await until(page, f"{texts('.list .why')}.join().includes('Last ready')")
        assert "Last ready" not in await page.locator(".list tbody tr").first.inner_text()
        assert await page.locator(".list .before").count() == 1
        await page.get_by_role("button", name="Compare").press("Enter")
        await page.get_by_role("dialog").get_by_text("another host").wait_for()
        await page.keyboard.press("Escape")
        assert await page.evaluate(f"{PANEL}.shadowRoot.activeElement.textContent") == "Compare"
        await page.locator(".list .before a").click()
        await until(page, f"{part('.head .state')}?.textContent === 'Ready'")
        await until(page, "location.search === '?traceId=t1&launchId=20261122T120001-aaaaaa&locale=en'")
        assert page.wrong == []


async def test_launches_of_a_trace_are_together_and_a_refresh_leaves_the_focus(loki, panel, browser):
    add_launch(loki, 1, "ready seconds=1", traceId="several", host="gpu-01")
    add_launch(loki, 2, "ready seconds=1", host="gpu-02")
    add_launch(loki, 3, "ready seconds=1", traceId="several", host="gpu-03")
    async with opened(browser, f"{panel.url}/panel?locale=en") as page:
        await until(page, f"{HOSTS}.join() === 'gpu-03,gpu-01,gpu-02'")
        assert await page.locator(".list .title small").first.inner_text() == "several · 2 launches"
        await page.locator(".list .title a").nth(1).focus()
        add_launch(loki, 4, "ready seconds=1", host="gpu-04")
        loki.add(
            {**A, "traceId": "several", "launchId": "20261122T120001-aaaaaa", "host": "gpu-01"},
            time.time_ns(),
            "exited state=stopped seconds=300",
            kind="event",
            level="info",
        )
        await until(page, f"{texts('.list .state')}.join() === 'Ready,Ready,Stopped,Ready'")
        assert await page.evaluate(f"{PANEL}.shadowRoot.activeElement.closest('tr').title") == (
            "20261122T120001-aaaaaa · trace several"
        )


async def test_filters_offer_what_all_launches_of_the_time_have(loki, panel, browser):
    add_launch(loki, 0, "ready seconds=1", host="gpu-19", service_name="the oldest")
    for number in range(1, 52):
        add_launch(loki, number, "ready seconds=1")
    async with opened(browser, f"{panel.url}/panel?locale=en") as page:
        await until(page, f"{ROWS} === 50")
        await page.get_by_label("Model", exact=True).select_option("the oldest")
        await until(page, f"{HOSTS}.join() === 'gpu-19'")
        await page.get_by_label("Host", exact=True).select_option("gpu-1")
        await page.get_by_text("No launch of this time matches.").wait_for()


async def test_the_list_shows_launches_between_two_times(loki, panel, browser):
    for number in range(3):
        add_launch(loki, number, "exited state=stopped seconds=9")
    long_ago = time.time_ns() - 5 * 86_400 * SECOND
    old = {**A, "traceId": "old", "launchId": "20261115T120000-aaaaaa"}
    loki.add(old, long_ago, "started port=1", kind="event", level="info")
    loki.add(old, long_ago + SECOND, "exited state=stopped seconds=1", kind="event", level="info")
    async with opened(browser, f"{panel.url}/panel?locale=en", timezone_id="Asia/Shanghai") as page:
        await until(page, f"{ROWS} === 3")
        await page.get_by_label("Time", exact=True).select_option("between")
        for label, days in (("From", 6), ("To", 4)):
            at = time.gmtime(time.time() - days * 86_400 + 8 * 3600)
            await page.get_by_label(label, exact=True).fill(time.strftime("%Y-%m-%dT%H:%M", at))
            await page.keyboard.press("Enter")
        await until(page, f"{ROWS} === 1")
        address, since = page.url, await page.get_by_label("From", exact=True).input_value()
        await page.get_by_label("Time", exact=True).select_option("24")
        await until(page, f"{ROWS} === 3")
    async with opened(browser, address, timezone_id="Asia/Shanghai") as page:
        await until(page, f"{ROWS} === 1")
        assert await page.get_by_label("From", exact=True).input_value() == since


async def test_a_launch_opens_in_another_tab_with_the_same_token_and_language(loki, browser, tmp_path, start_panel):
    add_launch(loki, 1, "ready seconds=1")
    (tmp_path / "secret").write_text("a secret of more than thirty-two bytes, for tests")
    async with start_panel(loki.url, secret_file=str(tmp_path / "secret")) as panel:
        token = panel.server.keys.mint(["*"], seconds=60)
        async with opened(browser, f"{panel.url}/panel?locale=zh#token={token}") as page:
            await until(page, f"{ROWS} === 1")
            async with page.context.expect_page() as tab:
                await page.locator(".list a").click(modifiers=["Control"])
            opened_tab = await tab.value
            await until_there(opened_tab, f"{SEEN}.length > 0")
            assert await opened_tab.locator(".head .state").inner_text() == "就绪"
            assert "启动" in await page.evaluate(NOTICE)
            await opened_tab.close()
