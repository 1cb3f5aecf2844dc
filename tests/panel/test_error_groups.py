"""All errors of a failed start, folded into kinds: real logs (tests/data/field-starts) in real Chromium."""

import time

import pytest
from support.field_log import shipped_lines
from support.panel_browser import SEEN, VISIBLE, opened, part, texts, until

pytestmark = pytest.mark.needs("chromium")

LAUNCH = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "m",
    "engine": "vllm",
    "host": "h",
}
KINDS = texts(".errors li .what")


def ship(loki, case):
    start = time.time_ns() - 60 * 10**9
    for number, line in enumerate(shipped_lines(case)):
        loki.add(LAUNCH, start + number * 10**6, line["line"], **line["metadata"])


async def test_the_kinds_of_errors_begin_with_the_cause_and_end_with_consequences(loki, panel, browser):
    ship(loki, "117-vllm032-kv-too-large")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.keyboard.press("x")
        await until(page, f"{KINDS}.length > 0")
        kinds = await page.evaluate(KINDS)
        last = await page.evaluate(texts(".errors li.consequence .what"))

        assert "Available memory on node 0" in kinds[0]
        assert any("WorkerProc hit an exception." in kind for kind in last)
        assert any("Engine core initialization failed" in kind for kind in last)
        assert not any("File " in kind or "Traceback" in kind for kind in kinds)
        assert len(kinds) == len({kind.split(" #")[0] for kind in kinds})

        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await until(page, f"{part('.errors')} === null")
        await until(page, f"{part('.row.selected .text')}?.textContent.includes({kinds[1][:40]!r})")
        assert page.wrong == []


async def test_repeated_errors_are_one_kind_with_their_number(loki, panel, browser):
    start = time.time_ns() - 60 * 10**9
    for number in range(1200):
        text = f"ERROR 11-22 12:00:01 [serving.py:{number}] Request cmpl-{number:08x} failed after {number}.5 s"
        loki.add(LAUNCH, start + number, text, level="error")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=zh") as page:
        await until(page, f"{VISIBLE}.length > 0")
        await page.get_by_role("button", name="全部错误").first.click()
        await until(page, f"{texts('.errors li .count')}.join().startsWith('1200 ')")
        assert await page.evaluate(f"{part('.errors p')}.textContent") == "1200 个错误，1 类"
        await page.keyboard.press("Escape")
        await until(page, f"{part('.errors')} === null")


async def test_a_log_without_errors_says_so(loki, panel, browser):
    loki.add(LAUNCH, time.time_ns(), "INFO fine", level="info")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.keyboard.press("x")
        await until(page, f"{part('.errors p')}?.textContent === 'There is no error'")
