"""The page in a browser that drops its requests, as Chromium does when a network interface comes or goes."""

import time

import pytest
from support.panel_browser import PANEL, SEEN, opened, part, until

pytestmark = pytest.mark.needs("chromium")

LABELS = {"traceId": "t1", "launchId": "20261122T120000-aaaaaa", "service_name": "m", "env": "test", "host": "gpu-07"}


class Drops:
    """Breaks off the first requests of an address."""

    def __init__(self, count):
        self.left = count

    async def handle(self, route):
        if self.left:
            self.left -= 1
            await route.abort("connectionreset")
        else:
            await route.continue_()


@pytest.fixture
def lines(loki):
    loki.add(LABELS, time.time_ns() - 10**9, "INFO seen", level="info")


@pytest.mark.parametrize("address", ["panel?traceId=t1", "embed#traceId=t1"])
async def test_a_page_whose_script_was_dropped_is_loaded_again(lines, panel, browser, address):
    async with opened(browser, "about:blank") as page:
        await page.route("**/static/{page,embed}.js", Drops(2).handle)
        await page.goto(f"{panel.url}/{address}")
        await until(page, f"{PANEL} !== null && {SEEN}.includes('INFO seen')")


@pytest.mark.parametrize(
    ("address", "offer"),
    [
        ("panel?traceId=t1&locale=en", "load it again"),
        ("panel?traceId=t1&locale=zh", "重新加载"),
        ("embed#traceId=t1&locale=zh", "重新加载"),
    ],
)
async def test_a_page_whose_script_never_arrives_says_so(lines, panel, browser, address, offer):
    async with opened(browser, "about:blank") as page:
        drops = Drops(1000)
        await page.route("**/static/{page,embed}.js", drops.handle)
        await page.goto(f"{panel.url}/{address}")
        link = page.locator(f"a:has-text('{offer}')")
        await link.wait_for()
        drops.left = 0
        await link.click()
        await until(page, f"{PANEL} !== null && {SEEN}.includes('INFO seen')")


async def test_a_dropped_question_is_asked_again(lines, panel, browser):
    async with opened(browser, "about:blank") as page:
        drops = Drops(1)
        await page.route("**/api/logs/search?*", drops.handle)
        await page.goto(f"{panel.url}/panel?traceId=t1&q=seen")
        await until(page, f"{PANEL} !== null && /1/.test({part('.result')}?.textContent)")
        assert drops.left == 0
