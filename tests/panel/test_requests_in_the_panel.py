"""The lines of one request, from a click on its id in a line: in real Chromium.

The lines are those of vLLM 0.32 with request logging on: the API server and the engine each print the id that they
made of the client's X-Request-Id.
"""

import time

import pytest
from support.panel_browser import SEEN, TEXTS, opened, part, until

pytestmark = pytest.mark.needs("chromium")

LAUNCH = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "qwen-7b",
    "env": "test",
    "engine": "vllm",
    "host": "gpu-07",
}
CHIP = f"{part('.request-filter')}"


def served(loki):
    """Two requests that the API server and the engine print lines of; returns when they began."""
    start = time.time_ns() - 60 * 10**9
    for number, name in enumerate(("order-42", "order-43")):
        at = start + number * 10**9
        outer, inner = f"cmpl-{name}-0", f"cmpl-{name}-0-9f0a1b2c"
        lines = (
            (0, "APIServer", outer, f"INFO 11-22 12:00:01 [logger.py:40] Received request {outer}: prompt: 'hello'"),
            (200, "EngineCore", inner, f"INFO 11-22 12:00:01 [async_llm.py:270] Added request {inner}."),
            (2314, "APIServer", outer, f"INFO 11-22 12:00:03 [async_llm.py:400] Request {outer} aborted."),
        )
        for milliseconds, process, request_id, text in lines:
            time_ns = at + milliseconds * 10**6
            loki.add(LAUNCH, time_ns, text, level="info", process=process, request_id=request_id)
    return start


async def test_a_click_on_a_request_shows_its_lines_of_all_processes_and_how_long_it_took(loki, panel, browser):
    served(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length === 6")
        await page.get_by_text("cmpl-order-42-0", exact=True).first.click()
        await until(page, f"{TEXTS}.length === 3 && {TEXTS}.every(text => text.includes('order-42'))")
        await until(page, f"{CHIP}.textContent === 'Request cmpl-order-42-0 · 2.314 s ✕'")
        address = page.url
        assert "requestId=cmpl-order-42-0" in address

        await page.locator(".request-filter").click()
        await until(page, f"{TEXTS}.length === 6")
        assert "requestId" not in page.url
        assert page.wrong == []
    async with opened(browser, address) as page:
        await until(page, f"{TEXTS}.length === 3")
        await until(page, f"!{CHIP}.hidden")


async def test_new_lines_of_other_requests_stay_away(loki, panel, browser):
    served(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&requestId=order-43&locale=en") as page:
        await until(page, f"{TEXTS}.length === 3 && {TEXTS}.every(text => text.includes('order-43'))")
        for name in ("order-42", "order-43"):
            loki.add(
                LAUNCH, time.time_ns(), f"INFO late cmpl-{name}-0", level="info", process="APIServer",
                request_id=f"cmpl-{name}-0",
            )  # fmt: skip
        await until(page, f"{TEXTS}.length === 4")
        assert not await page.evaluate(f"{TEXTS}.some(text => text.includes('order-42'))")
