"""What the component shows of launches, times and gaps, and the events that pages get from it: in real Chromium."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from aiohttp import web
from support.panel_browser import (
    FOLLOWING,
    IS_LIVE,
    NOTICE,
    PANEL,
    SCROLLER,
    SEEN,
    TEXTS,
    VISIBLE,
    opened,
    part,
    says,
    texts,
    until,
    until_still,
)

pytestmark = pytest.mark.needs("chromium")

DOCS = Path(__file__).parents[2] / "docs"
A = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "Qwen/Qwen2-7B",
    "env": "test",
    "engine": "vllm",
    "host": "gpu-07",
}
B = {**A, "launchId": "20261122T120500-bbbbbb", "host": "gpu-08"}
STATS = (
    "INFO Avg prompt throughput: {} tokens/s, Avg generation throughput: {} tokens/s, "
    "Running: 3 reqs, Waiting: 1 reqs"
)
EXITED = (
    'exited state=crashed seconds=261 exitCode=1 cause="CUDA out of memory" hint="lower gpu-memory-utilization" '
    'evidence="ERROR torch.OutOfMemoryError: CUDA out of memory"'
)
ROWS = f"{PANEL}.shadowRoot.querySelectorAll('.row')"
TIMES = texts(".row .time")


def crashed(loki):
    """A launch that was ready for a while and then ran out of memory; returns when it began."""
    start = time.time_ns() - 300 * 10**9
    lines = (
        (0, "started port=8000 pid=71", "event"),
        (5, "phase name=imports seconds=5.0", "event"),
        (25, 'phase name="load weights" seconds=20.0', "event"),
        (30, "ready seconds=30.0 port=8000 pid=71", "event"),
        *((40 + i * 10, STATS.format(i, i * 100), "") for i in range(20)),
        (260, "ERROR torch.OutOfMemoryError: CUDA out of memory", ""),
        (261, EXITED, "event"),
    )
    for seconds, text, kind in lines:
        level = "error" if text.startswith("ERROR") else "info"
        loki.add(A, start + seconds * 10**9, text, level=level, **({"kind": kind} if kind else {}))
    for index in range(3000):
        loki.add(A, start + 245 * 10**9 + index * 10**6, f"INFO step {index}", level="info")
    return start


async def test_a_crash_shows_its_phases_its_cause_and_the_line_of_the_cause(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length > 0")
        assert await page.locator(".head .state").inner_text() == "Crashed"
        phases = await page.locator(".phases button").all_inner_texts()
        assert phases[:2] == ["imports 5.0 s", "load weights 20 s"]
        assert "CUDA out of memory" in await page.locator(".cause b").inner_text()
        assert "exit status 1" in await page.locator(".cause").inner_text()
        assert "lower gpu-memory-utilization" in await page.locator(".cause").inner_text()
        assert (
            await page.locator(".cause .evidence").inner_text() == "ERROR torch.OutOfMemoryError: CUDA out of memory"
        )
        # The log opens at the cause, not at its end.
        await until(page, f"{part('.row.selected .text')}?.textContent.includes('torch')")
        await until(page, f"{VISIBLE}.some(row => row.entry.text.includes('torch'))")
        assert await page.locator(".link").inner_text() == "Ended"
        await page.locator(".phases button").nth(1).click()
        await until(page, f"!{part('.row.selected .text')}?.textContent.includes('torch')")
        await page.get_by_role("button", name="Show the line").click()
        await until(page, f"{part('.row.selected .text')}?.textContent.includes('torch')")
        await page.locator(".phases button").first.click()
        await until(page, f"{SEEN}.includes('Phase “imports”: 5.0 s')")
        assert page.wrong == []


TRACEBACK = (
    "(EngineCore pid=7) ERROR 11-26 20:01:02 [core.py:946] EngineCore failed to start.",
    "(EngineCore pid=7) ERROR 11-26 20:01:02 [core.py:946] Traceback (most recent call last):",
    '(EngineCore pid=7) ERROR 11-26 20:01:02 [core.py:946]   File "core.py", line 937, in run_engine_core',
    "(EngineCore pid=7) ERROR 11-26 20:01:02 [core.py:946]     engine_core = EngineCoreProc(*args)",
    "(EngineCore pid=7) ERROR 11-26 20:01:02 [core.py:946] ValueError: To serve one request, 4 GiB is needed",
    "Traceback (most recent call last):",
    '  File "api_server.py", line 12, in <module>',
    "    run()",
    "RuntimeError: Engine core initialization failed. See root cause above.",
)
"""The shape of what vLLM 0.32 prints when its engine process cannot start."""


def failed_with_two_errors(loki):
    start = time.time_ns() - 300 * 10**9
    loki.add(A, start, "started port=8000 pid=71", kind="event", level="info")
    for second, text in enumerate(("INFO one", "INFO two", *TRACEBACK, "INFO gone"), 10):
        loki.add(A, start + second * 10**9, text, level="info" if text.startswith("INFO") else "error")
    exited = 'exited state=failed seconds=30 exitCode=1 cause="the KV cache is too small" evidence="'
    loki.add(A, start + 30 * 10**9, exited + TRACEBACK[4] + '"', kind="event", level="error")


async def test_errors_are_stepped_through_by_what_they_say_not_by_their_frames(loki, panel, browser):
    failed_with_two_errors(loki)
    selected = f"{part('.row.selected .text')}?.textContent"
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{selected}?.includes('ValueError')")
        await page.keyboard.press("e")  # without a click first: the keys work at once
        await until(page, f"{selected}?.includes('RuntimeError')")
        async with says(page, "Past the last error: the first one"):
            await page.keyboard.press("e")
        await until(page, f"{selected}?.includes('failed to start')")
        await page.keyboard.press("E")
        await until(page, f"{selected}?.includes('RuntimeError')")
        await page.keyboard.press("E")
        await until(page, f"{selected}?.includes('ValueError')")
        await page.get_by_role("button", name="Previous error").click()
        await until(page, f"{selected}?.includes('failed to start')")
        assert page.wrong == []


async def test_what_a_ticket_needs_is_copied_at_once(loki, panel, browser):
    failed_with_two_errors(loki)
    address = f"{panel.url}/panel?traceId=t1&locale=en"
    async with opened(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        async with says(page, "Copied"):
            await page.get_by_role("button", name="Copy for a ticket").click()
        copied = await page.evaluate("navigator.clipboard.readText()")
        first, facts, ids, _ended, *lines = copied.splitlines()
        assert first == "Failed: the KV cache is too small"
        assert facts == "Qwen/Qwen2-7B · vllm · gpu-07 · test · exit status 1"
        assert ids == f"traceId t1, launchId {A['launchId']}"
        assert f"> {TRACEBACK[4]}" in lines
        assert [line for line in lines if line.startswith("  ")] == [
            f"  {text}" for text in (*TRACEBACK[1:4], *TRACEBACK[5:8])
        ]
        await page.goto(lines[-1] + "&x")
        await until(page, f"{part('.row.selected .text')}?.textContent.includes('ValueError')")


async def test_events_are_sentences_in_a_ticket_too(loki, panel, browser):
    crashed(loki)
    address = f"{panel.url}/panel?traceId=t1&locale=zh"
    async with opened(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        async with says(page, "已复制"):
            await page.get_by_role("button", name="复制到工单").click()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert "后结束，已崩溃：CUDA out of memory（退出码 1）\n" in copied
        assert "exited state=" not in copied


async def test_a_link_leads_to_the_page_around_where_it_has_an_address(loki, panel, browser):
    crashed(loki)
    address = f"{panel.url}/panel?traceId=t1&locale=en"
    async with opened(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        await until(page, f"{part('.row.selected .text')}?.textContent.includes('torch')")
        await page.evaluate(f"{PANEL}.link = '/runs/{{traceId}}?line={{line}}'")
        async with says(page, "Copied"):
            await page.get_by_role("button", name="Copy link").click()
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert re.fullmatch(re.escape(panel.url) + r"/runs/t1\?line=\d{19}-[0-9a-f]+", copied)


async def test_the_head_leads_back_to_the_recent_launches(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en#token=abc") as page:
        await page.get_by_role("link", name="Recent launches").click()
        await page.wait_for_url("**/panel?locale=en#token=abc")
        await page.locator(".notice h2", has_text="Recent launches").wait_for()


async def test_the_running_phase_grows_and_a_change_of_state_is_seen_live(loki, panel, browser):
    start = time.time_ns() - 10**9
    loki.add(A, start, "started port=8000 pid=71", kind="event", level="info")
    loki.add(A, start + 1, "phase name=imports seconds=0.5", kind="event", level="info")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        running = f"{part('.phases .running')}?.textContent"
        await until(page, f"Boolean({running})")
        before = await page.evaluate(running)
        await until(page, f"{running} !== {before!r}")
        loki.add(A, time.time_ns(), "ready seconds=2.5 port=8000 pid=71", kind="event", level="info")
        await until(page, f"{part('.head .state')}.textContent === 'Ready'")
        assert "ready in 2.5 s" in await page.locator(".head .facts").inner_text()


async def test_throughput_and_queue_are_drawn_over_time(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.locator(".scroller").focus()
        await page.keyboard.press("c")
        await until(page, f"{texts('.charts figcaption')}[0].includes('1900')")
        figures = await page.locator(".charts figcaption").all_inner_texts()
        assert re.search(r"Running\s+3.*Waiting\s+1", figures[1], re.DOTALL)
        drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
        assert await page.locator(".charts canvas").first.evaluate(drawn)


async def test_the_histogram_shows_the_log_the_visible_range_and_leads_there(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"!{part('.histogram')}.hidden")
        left = f"{part('.histogram .range')}.style.left"
        await until(page, f"parseFloat({left}) > 80")
        await page.locator(".histogram-bars").click(position={"x": 2, "y": 10})
        await until(page, f"{SEEN}.includes('Started, port 8000, pid 71')")
        await until(page, f"parseFloat({left}) < 20")


async def test_a_part_of_the_time_is_shown_alone_by_dragging_or_by_keyboard_and_stands_in_the_address(
    loki, panel, browser
):
    crashed(loki)
    valuemin = f"Number({part('.histogram-bars')}.ariaValueMin)"
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{texts('.axis span')}.length > 2 && {part('.peak')}.textContent.startsWith('up to ')")
        whole = await page.evaluate(valuemin)
        box = await page.locator(".histogram-bars").bounding_box()
        y = box["y"] + 10
        await page.mouse.move(box["x"] + box["width"] * 0.5, y)
        await page.mouse.down()
        await page.mouse.move(box["x"] + box["width"] * 0.9, y, steps=3)
        await page.mouse.up()
        await until(page, f"{valuemin} > {whole + 100_000}")
        await page.wait_for_url(re.compile(r"&from=\d{19}&to=\d{19}"))
        address, dragged = page.url, await page.evaluate(valuemin)
        await page.get_by_role("button", name="Show all").click()
        await until(page, f"{valuemin} === {whole}")
        await page.locator(".histogram-bars").focus()
        for _ in range(3):
            await page.keyboard.press("ArrowRight")
        await page.keyboard.press("+")
        await until(page, f"!{part('.whole')}.hidden")
        await page.keyboard.press("-")
        await until(page, f"{part('.whole')}.hidden")
    async with opened(browser, address) as page:
        await until(page, f"{valuemin} === {dragged}")
        assert page.wrong == []


async def test_a_failed_launch_is_shown_beside_the_last_time_that_it_was_ready(loki, panel, browser):
    start = time.time_ns() - 7200 * 10**9
    before = {**A, "traceId": "t0", "launchId": "20261121T120000-000000", "host": "gpu-01"}
    for second, text in enumerate(
        ('started command="vllm serve /m --max-model-len 4096"', "phase name=imports seconds=4", "ready seconds=9")
    ):
        loki.add(before, start + second * 10**9, text, level="info", kind="event")
    failed_with_two_errors(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{part('.cause .before')}?.hidden === false")
        sentence = await page.locator(".cause .before").inner_text()
        assert "Last ready on" in sentence
        assert "2 arguments changed, another host" in sentence
        await page.locator(".scroller").focus()
        await page.keyboard.press("v")
        rows = await page.locator(".comparison tbody tr").all_inner_texts()
        assert any(row.startswith("--max-model-len\t") and row.endswith("\t4096") for row in rows)
        assert "host\tgpu-07\tgpu-01" in rows
        assert "imports\tnot reached\t4.0 s" in rows
        await page.get_by_role("button", name="Open the launch that was ready").click()
        await page.wait_for_url("**/panel?traceId=t0*")
        await until(page, f"{part('.head .state')}?.textContent === 'Ready'")
        assert page.wrong == []


async def test_the_head_shows_the_command_that_started_the_server(loki, panel, browser):
    command = "vllm serve /models/Qwen2-7B --max-model-len 4096"
    loki.add(A, time.time_ns(), f'started port=8000 command="{command}"', level="info", kind="event")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await page.get_by_role("button", name="Command").click()
        await page.get_by_text(command, exact=True).wait_for()
        await page.get_by_role("button", name="Command").click()
        await until(page, f"{part('.command')}.hidden")


async def test_a_line_is_selected_by_keyboard(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{part('.row.selected .text')}?.textContent.includes('torch')")
        await page.keyboard.press("J")
        await until(page, f"{part('.row.selected .text')}?.textContent.startsWith('Ended after')")
        await page.keyboard.press("K")
        await page.keyboard.press("Shift+ArrowUp")
        await until(page, f"{part('.row.selected .text')}?.textContent.includes('INFO')")
        await page.wait_for_url(re.compile("#line="))


async def test_a_small_frame_keeps_room_for_the_lines(loki, panel, browser):
    failed_with_two_errors(loki)
    async with opened(
        browser, f"{panel.url}/panel?traceId=t1&locale=en", viewport={"width": 420, "height": 480}
    ) as page:
        await until(page, f"{part('.row.selected .text')}?.textContent.includes('ValueError')")
        await until_still(page)
        assert await page.evaluate(f"{SCROLLER}.clientHeight") > 150
        assert await page.evaluate(f"{SCROLLER}.scrollWidth <= {SCROLLER}.clientWidth"), "lines are wrapped"
        assert not await page.get_by_role("button", name="Download").is_visible()
        await page.get_by_role("button", name="More tools").click()
        await page.get_by_role("button", name="Download").click()
        await page.get_by_role("menuitem", name="Text").wait_for()


async def test_times_are_absolute_relative_or_off_and_in_two_zones(loki, panel, browser):
    start = crashed(loki)
    utc = time.strftime("%H:%M:%S", time.gmtime(start // 10**9))
    url = f"{panel.url}/panel?traceId=t1&locale=en"
    async with opened(browser, url, timezone_id="Asia/Shanghai") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.locator(".scroller").focus()
        await page.keyboard.press("g")
        await until(page, f"{SEEN}[0] === 'Started, port 8000, pid 71'")
        there = time.strftime("%H:%M:%S", time.gmtime(start // 10**9 + 8 * 3600))
        assert (await page.evaluate(TIMES))[0].startswith(there)
        await page.keyboard.press("u")
        await until(page, f"{TIMES}[0].startsWith('{utc}')")
        await page.keyboard.press("t")
        await until(page, f"{TIMES}[0] === '+00:00.000' && {TIMES}[1] === '+00:05.000'")
        await page.keyboard.press("t")
        await until(page, f"{TIMES}.length === 0")


@pytest.mark.parametrize(
    ("place", "text"), [("+00:25", "Phase “load weights”: 20 s"), ("+1:0", STATS.format(2, 200))]
)
async def test_going_to_a_time_since_the_start(loki, panel, browser, place, text):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"!{part('.head')}.hidden && {SEEN}.length > 0")
        await page.locator(".scroller").focus()
        await page.keyboard.press(":")
        await page.keyboard.type(place)
        await page.keyboard.press("Enter")
        await until(page, f"{part('.row.selected .text')}?.textContent === {text!r}")


async def test_only_rows_in_sight_are_elements_and_no_number_is_shown_before_it_is_known(loki, panel, browser):
    crashed(loki)
    async with opened(browser, "about:blank") as page:
        await page.route("**/api/logs/index**", lambda route: route.fulfill(json={"complete": False}))
        await page.goto(f"{panel.url}/panel?traceId=t1&locale=en")
        await until(page, f"{SEEN}.length > 0")
        assert await page.evaluate(f"{ROWS}.length") < 100
        numbers = texts(".number")
        assert set(await page.evaluate(numbers)) == {""}
        await page.unroute("**/api/logs/index**")
        await until(page, f"{numbers}.at(-1) === '{3000 + 26}'")


async def test_launches_of_a_trace_are_merged_with_a_colour_each_and_chosen_one_by_one(loki, panel, browser):
    start = time.time_ns() - 60 * 10**9
    for index in range(40):
        loki.add((A, B)[index % 2], start + index, f"INFO line {index}", level="info", process=f"P{index % 2}")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{TEXTS}.length === 40 && {texts('.launches button')}.length === 3")
        assert await page.evaluate(TEXTS) == [f"INFO line {index}" for index in range(40)]
        tags = f"[...{PANEL}.shadowRoot.querySelectorAll('.row .tag')].map(e => e.style.getPropertyValue('--tag'))"
        await until(page, f"new Set({tags}).size === 2")
        await page.locator(".launches button").nth(2).click()
        await until(page, f"{TEXTS}.length === 20 && {TEXTS}.every(text => Number(text.slice(10)) % 2)")
        await page.locator(".launches button").first.click()
        await until(page, f"{TEXTS}.length === 40")
        await page.get_by_label("Process", exact=True).select_option("P0")
        await until(page, f"{TEXTS}.length === 20 && {TEXTS}.every(text => Number(text.slice(10)) % 2 === 0)")


async def test_what_could_not_be_read_is_a_row_and_an_event(loki, panel, browser):
    start = time.time_ns() - 60 * 10**9
    loki.add(A, start, "INFO before", level="info")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, IS_LIVE)
        await page.evaluate(f"{PANEL}.addEventListener('gap', (event) => (window.gap = event.detail))")
        for index in range(5100):
            loki.add(A, start + 10**9, f"INFO at once {index}", level="info")
        loki.add(A, start + 2 * 10**9, "gap file=x.log from=10 to=99 reason=truncated", kind="event", level="warning")
        gaps = texts(".row.gap .text")
        await until(
            page, f"{gaps}.some(text => text.startsWith('Bytes 10 to 99 of x.log could not be read'))", seconds=60
        )
        await until(page, f"{gaps}.some(text => text.includes('More lines at this nanosecond'))")
        assert await page.evaluate("window.gap.reason") == "crowded"


async def test_a_download_is_saved_as_a_file(loki, panel, browser, tmp_path):
    loki.add(A, time.time_ns(), "INFO one", level="info")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.locator(".scroller").focus()
        await page.keyboard.press("d")
        async with page.expect_download() as download:
            await page.get_by_role("menuitem", name="Text").click()
        saved = await download.value
        assert saved.suggested_filename == "t1.log"
        await saved.save_as(tmp_path / "saved")
        assert (tmp_path / "saved").read_text() == "INFO one\n"


async def test_a_token_for_reading_only_is_named_as_the_reason_why_there_is_no_download(
    loki, browser, tmp_path, start_panel
):
    loki.add(A, time.time_ns(), "INFO one", level="info")
    (tmp_path / "secret").write_text("x" * 40)
    async with start_panel(loki.url, secret_file=str(tmp_path / "secret")) as panel:
        token = panel.server.keys.mint(["t1"], scopes=["read"], seconds=60)
        async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en#token={token}") as page:
            await until(page, f"{SEEN}.length > 0")
            await page.locator(".scroller").focus()
            await page.keyboard.press("d")
            async with says(page, "Your token is for reading only: downloading needs the scope “download”"):
                await page.get_by_role("menuitem", name="Text").click()
            assert await page.evaluate(f"{part('.notice')}.hidden"), "the log stays"
            loki.add(A, time.time_ns(), "INFO two", level="info")
            await until(page, f"{SEEN}.includes('INFO two')")
            assert [text for text in page.wrong if "403" not in text] == []


class Platform:
    """A page of another origin, and the route of its backend that the documentation's pages ask for a token."""

    def __init__(self, html):
        self.html = html
        self.asked = []

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/my-backend/log-token", self._token)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _page(self, _request):
        return web.Response(text="<!doctype html><body>" + self.html, content_type="text/html")

    async def _token(self, request):
        self.asked.append(request.query["traceId"])
        return web.json_response({"token": self.token})


def example(page, heading):
    """Return the page that the documentation gives under a heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.search(r"```html\n(.*?)```", text.partition(f"## {heading}\n")[2], re.DOTALL)[1]


@pytest.mark.parametrize(
    ("document", "heading"),
    [
        ("embedding.md", "The element"),
        ("embedding.md", "The frame"),
        ("zh/embedding.md", "元素"),
        ("zh/embedding.md", "iframe"),
    ],
)
async def test_the_pages_of_the_documentation_work_as_they_stand(
    loki, browser, tmp_path, start_panel, document, heading
):
    loki.add({**A, "traceId": "4bf92f35"}, time.time_ns(), "INFO the right trace", level="info")
    (tmp_path / "secret").write_text("a secret of more than thirty-two bytes, for tests")
    async with (
        Platform("") as platform,
        start_panel(loki.url, secret_file=str(tmp_path / "secret"), origins=[platform.url]) as panel,
    ):
        platform.token = panel.server.keys.mint(["4bf92f35"], seconds=60)
        platform.html = (
            example(document, heading)
            .replace("https://panel.example", panel.url)
            .replace("https://platform.example", platform.url)
        )
        async with opened(browser, platform.url) as page:
            frame = page
            if heading in ("The frame", "iframe"):
                await until(page, "frames.length === 1")
                frame = page.frames[1]
            await until(frame, f"Boolean({PANEL})")
            await until(frame, f"{SEEN}.includes('INFO the right trace')")
            assert set(platform.asked) == {"4bf92f35"}


async def test_a_frame_takes_commands_and_reports_events(loki, browser, tmp_path, start_panel):
    start = crashed(loki)
    (tmp_path / "secret").write_text("a secret of more than thirty-two bytes, for tests")
    async with (
        Platform("") as platform,
        start_panel(loki.url, secret_file=str(tmp_path / "secret"), origins=[platform.url]) as panel,
    ):
        token = panel.server.keys.mint(["t1"], seconds=60)
        platform.html = f"""
            <iframe src="{panel.url}/embed#traceId=t1&locale=en&origin={platform.url}" width="900" height="500">
            </iframe>
            <script>
              window.events = {{}};
              addEventListener("message", ({{ data }}) => (events[data.type.slice(10)] = data.detail));
              window.send = (name, value) => document.querySelector("iframe").contentWindow.postMessage(
                {{ type: "tracetail:" + name, value }}, "{panel.url}");
            </script>"""
        async with opened(browser, platform.url) as page:
            await until(page, "events['token-needed']?.code === 'token_missing'")
            frame = page.frames[1]
            await page.evaluate(f"send('token', '{token}')")
            await until(page, "events.ready?.traceId === 't1' && events.state?.state === 'crashed'")
            await until(page, "events.phase?.seconds === 20 && events['first-error']?.text.startsWith('ERROR torch')")
            await page.evaluate(f"send('seek', '{start + 25 * 10**9}')")
            await until(page, "events['line-selected']?.text.startsWith('phase name=')")
            assert (await page.evaluate("events['line-selected'].url")).startswith(
                f"{panel.url}/panel?traceId=t1#line="
            )
            await page.evaluate("send('follow')")
            await until(frame, FOLLOWING)
            await page.evaluate("send('filter', { level: 'error,critical' })")
            await until(frame, f"{TEXTS}.length === 1")
            await page.evaluate("send('locale', 'zh')")
            await until(frame, f"{part('.head .state')}.textContent === '已崩溃'")
            await page.evaluate("send('nonsense', 1)")
            await page.evaluate("send('constructor', 1)")
            assert [wrong for wrong in page.wrong if "Failed to load resource" not in wrong] == []


async def test_the_page_around_sets_colours_and_sizes(loki, browser, start_panel):
    loki.add(A, time.time_ns(), "INFO one", level="info")
    async with Platform("") as platform, start_panel(loki.url, origins=[platform.url]) as panel:
        platform.html = f"""<style>tracetail-panel {{ --tracetail-background: rgb(1, 2, 3); }}
            div {{ color: red !important; }}</style>
            <script type="module" src="{panel.url}/tracetail-panel.js"></script>
            <tracetail-panel src="{panel.url}" trace-id="t1" style="height: 300px"></tracetail-panel>"""
        async with opened(browser, platform.url) as page:
            await until(page, f"{PANEL}.shadowRoot && {SEEN}.length === 1")
            style = "name => getComputedStyle(document.querySelector('tracetail-panel')).getPropertyValue(name)"
            assert await page.evaluate(style, "background-color") == "rgb(1, 2, 3)"
            row = f"getComputedStyle({part('.row .text')}).color"
            assert await page.evaluate(row) != "rgb(255, 0, 0)"


async def test_without_a_token_the_panel_explains_how_to_get_one_and_accepts_one(
    loki, browser, tmp_path, start_panel
):
    loki.add(A, time.time_ns(), "INFO one", level="info")
    (tmp_path / "secret").write_text("a secret of more than thirty-two bytes, for tests")
    async with (
        start_panel(loki.url, secret_file=str(tmp_path / "secret")) as panel,
        opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page,
    ):
        await until(page, f"{NOTICE}.includes('tracetail open t1')")
        assert not await page.get_by_text("Connection lost").is_visible()
        await page.get_by_label("A token is needed").fill(panel.server.keys.mint(["t1"], seconds=60))
        await page.keyboard.press("Enter")
        await until(page, f"{SEEN}.join() === 'INFO one'")


async def test_while_loki_is_down_the_panel_reports_it_and_opens_the_log_when_it_is_back(loki, panel, browser):
    loki.add(A, time.time_ns(), "INFO one", level="info")
    loki.down = True
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{NOTICE}.includes('Loki does not answer')")
        loki.down = False
        await until(page, f"{SEEN}.join() === 'INFO one'")


@pytest.mark.parametrize(
    ("address", "heading", "connection"),
    [
        ("launchId=zzz&locale=en", "The address has a mistake.", ""),
        ("traceId=a%20b&locale=zh", "地址有误。", ""),
        (
            "launchId=20261122T120000-ffffff&locale=en",
            "Nothing is known of it yet, or the token is not for it. Looking again…",
            "Connecting…",
        ),
    ],
)
async def test_an_address_without_a_log_is_named_and_no_lost_connection(panel, browser, address, heading, connection):
    async with opened(browser, f"{panel.url}/panel?{address}") as page:
        await until(page, f"{part('.notice h2')} !== null")
        assert await page.locator(".notice h2").inner_text() == heading
        assert await page.locator(".link").inner_text() == connection


@pytest.mark.parametrize("address", ["traceId=t2", "launchId=20261122T120000-ffffff", "launchId=zzz"])
async def test_whoever_comes_to_a_log_that_is_not_there_finds_the_list(loki, panel, browser, address):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?{address}&locale=en") as page:
        await page.locator(".notice").get_by_role("link", name="Recent launches").click()
        await page.locator(".list a").first.click()
        await until(page, f"{SEEN}.length > 0")


async def test_the_recent_launches_are_offered_with_their_state_and_cause(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?locale=en") as page:
        await until(page, f"{NOTICE}.includes('Recent launches')")
        assert re.search(
            r"Crashed.*Qwen/Qwen2-7B.*CUDA out of memory", await page.locator(".list tbody").inner_text(), re.DOTALL
        )
        await page.locator(".list a").click()
        await until(page, f"{SEEN}.length > 0")
        assert page.url.partition("#")[0].endswith("?traceId=t1&locale=en")


async def test_a_search_begun_while_the_cause_is_looked_for_is_not_left_for_it(loki, panel, browser):
    crashed(loki)
    selected = f"{part('.row.selected .text')}?.textContent"
    evidence = re.compile(r"/api/logs\?.*q=ERROR")
    searched = asyncio.Event()

    async def hold(route):
        await searched.wait()
        await route.continue_()

    async with opened(browser, "about:blank") as page:
        await page.route(evidence, hold)
        async with page.expect_request(evidence):
            await page.goto(f"{panel.url}/panel?traceId=t1&locale=en")
        await page.locator(".search").fill("step 1")
        await until(page, f"{selected}?.startsWith('INFO step 1')")
        async with page.expect_response(evidence):
            searched.set()
        await until_still(page)
        assert (await page.evaluate(selected)).startswith("INFO step 1")
        assert page.wrong == []


async def test_the_address_has_what_is_filtered_and_searched_for(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.locator(".search").fill("step 1")
        await until(page, f"{part('.row.selected .text')}?.textContent.startsWith('INFO step 1')")
        await page.get_by_label("Show only the lines that match").click()
        await page.get_by_label("Level", exact=True).select_option("info")
        await until(page, f"{TEXTS}.length > 0 && {TEXTS}.every(text => text.includes('step 1'))")
        await page.wait_for_url(re.compile(r"&q=step\+1&only=1&level=info%2Cwarning%2Cerror%2Ccritical#line="))
        address = page.url
    async with opened(browser, address) as page:
        await until(page, f"{TEXTS}.length > 0 && {TEXTS}.every(text => text.includes('step 1'))")
        await until(page, f"{part('.row.selected .text')}?.textContent.startsWith('INFO step 1')")
        assert await page.locator(".search").input_value() == "step 1"
        assert await page.get_by_label("Level", exact=True).input_value() == "info"
        assert page.wrong == []


async def test_a_selected_line_stays_in_sight_with_its_surroundings_when_a_filter_is_taken_away(loki, panel, browser):
    crashed(loki)
    selected = f"{part('.row.selected .text')}?.textContent"
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{selected}?.includes('torch')")
        await page.keyboard.press("4")
        await until(page, f"{TEXTS}.length === 1")
        await until(page, f"{selected}?.includes('torch')")
        await page.keyboard.press("1")
        await until(page, f"{VISIBLE}.length > 5 && {VISIBLE}.some(row => row.entry.text.includes('torch'))")
        assert "torch" in await page.evaluate(selected)


async def test_an_instance_or_a_launch_names_the_trace_and_unknown_parameters_are_named(loki, panel, browser):
    crashed(loki)
    for name, value in (("instanceId", A["instanceId"]), ("launchId", A["launchId"])):
        async with opened(browser, f"{panel.url}/panel?{name}={value}&locale=en&color=red") as page:
            await until(page, f"{part('.head .state')}?.textContent === 'Crashed'")
            await page.get_by_text("parameters that the panel does not know: color").wait_for()
            assert page.wrong == []


async def test_colours_of_the_terminal_are_shown_and_long_lines_wrap(loki, panel, browser):
    start = time.time_ns() - 10**9
    loki.add(A, start, "INFO \x1b[31mred\x1b[0m plain", level="info")
    loki.add(A, start + 1, "INFO " + "word " * 200, level="info")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length === 2")
        assert await page.evaluate(f"{SEEN}[0]") == "INFO red plain"
        text = page.locator(".row .text").first
        colours = await text.evaluate(
            "e => [getComputedStyle(e).color, ...[...e.children].map(part => getComputedStyle(part).color)]"
        )
        assert len(set(colours)) == 2
        height = f"{PANEL}.shadowRoot.querySelectorAll('.row')[1].getBoundingClientRect().height"
        assert await page.evaluate(height) == 20
        await page.locator(".scroller").focus()
        await page.keyboard.press("w")
        await until(page, f"{height} > 40")
        wide = f"{SCROLLER}.scrollWidth - {SCROLLER}.clientWidth"
        assert await page.evaluate(wide) <= 1


async def test_a_search_can_match_case_and_regular_expressions(loki, panel, browser):
    start = time.time_ns() - 10**9
    for index in range(30):
        loki.add(A, start + index, f"INFO {'Step' if index % 3 else 'step'} {index}", level="info")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length === 30")
        result = f"{part('.result')}.textContent"
        await page.get_by_label("Search the whole log").fill("step")
        await until(page, f"{result}.endsWith('/ 30')")
        await page.get_by_label("Match case").click()
        await until(page, f"{result}.endsWith('/ 10')")
        await page.get_by_label("Search the whole log").fill("step [12]\\d$")
        await until(page, f"{result} === 'no match'")
        await page.get_by_label("Regular expression").click()
        await until(page, f"{result}.endsWith('/ 6')")
        await page.get_by_label("Show only the lines that match").click()
        await until(page, f"{TEXTS}.length === 6")


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        (
            "en",
            {
                "a(": "not a regular expression: missing ): a(",
                "a\\": "not a regular expression: trailing \\",
                ".{999}x{999}": "this expression is too large",
            },
        ),
        (
            "zh",
            {
                "a(": "不是正则表达式：缺少 )：a(",
                "a\\": "不是正则表达式：末尾多了 \\",
                ".{999}x{999}": "表达式过大",
            },
        ),
    ],
)
async def test_an_expression_that_cannot_be_searched_for_is_explained_in_the_language(
    loki, panel, browser, locale, shown
):
    loki.add(A, time.time_ns() - 10**9, "INFO step", level="info")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale={locale}") as page:
        await until(page, f"{SEEN}.length === 1")
        await page.locator(".search").fill("x")
        await page.get_by_label("Regular expression" if locale == "en" else "正则表达式").click()
        for expression, text in shown.items():
            await page.locator(".search").fill(expression)
            await until(page, f"{part('.result')}.textContent === {text!r}")


async def test_another_language_leaves_the_reader_where_they_are(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.get_by_label("Search the whole log").fill("step 1500")
        await until(page, f"{texts('.row.selected .text')}.join() === 'INFO step 1500'")
        await until_still(page)
        before = await page.evaluate(SEEN)
        await page.get_by_role("button", name="中文").click()
        assert await page.locator(".head .state").inner_text() == "已崩溃"
        assert await page.get_by_label("搜索全部日志").input_value() == "step 1500"
        assert await page.locator(".result").inner_text() == "1 / 1"
        await until_still(page)
        assert (await page.evaluate(SEEN))[:10] == before[:10]  # the head may be lower in another language
        assert not await page.evaluate(f"{part('.histogram')}.hidden")
        assert page.wrong == []


async def test_another_language_leaves_the_recent_launches_to_choose_from(loki, panel, browser):
    crashed(loki)
    async with opened(browser, f"{panel.url}/panel?locale=en") as page:
        await until(page, f"{NOTICE}.includes('Recent launches')")
        await page.evaluate(f"{PANEL}.locale = 'zh'")
        assert "最近的启动" in await page.locator(".notice").inner_text()
        await page.locator(".list a").click()
        await until(page, f"{SEEN}.length > 0")


async def test_a_launch_of_another_trace_is_opened_in_its_own(loki, panel, browser):
    loki.add(A, time.time_ns(), "INFO of the first", level="info")
    loki.add({**B, "traceId": "t2"}, time.time_ns(), "INFO of the second", level="info")
    async with opened(browser, f"{panel.url}/panel?launchId={A['launchId']}") as page:
        await until(page, f"{SEEN}.join() === 'INFO of the first'")
        await page.evaluate(f"{PANEL}.launchId = '{B['launchId']}'")
        await until(page, f"{SEEN}.join() === 'INFO of the second'")


async def test_a_filter_that_is_set_while_the_log_opens_holds_from_the_first_page(loki, panel, browser):
    start = time.time_ns() - 10**9
    loki.add(A, start, "INFO one", level="info")
    loki.add(A, start + 1, "ERROR two", level="error")
    loki.hold = asyncio.Event()
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await page.evaluate(f"{PANEL}.setFilter({{ level: 'error' }})")
        loki.hold.set()
        await until(page, IS_LIVE)
        assert await page.evaluate(TEXTS) == ["ERROR two"]
        assert page.wrong == []


async def test_an_element_that_is_moved_in_the_page_opens_its_log_again(loki, panel, browser):
    after = time.time_ns()
    loki.add(A, after, "INFO one", level="info")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=en") as page:
        await until(page, f"{SEEN}.join() === 'INFO one'")
        await page.evaluate(f"document.body.append(document.createElement('main'), {PANEL})")
        await until(page, f"{SEEN}.join() === 'INFO one' && {IS_LIVE}")
        loki.add(A, after + 1, "INFO two", level="info")
        await until(page, f"{SEEN}.join() === 'INFO one,INFO two'")
        assert page.wrong == []


@pytest.mark.parametrize(
    ("locale", "sentence"),
    [
        ("en", "Failed to start after 3.3 s: no <b>model</b> (exit status 1)"),
        ("zh", "3.3 s 后启动失败：no <b>model</b>（退出码 1）"),
    ],
)
async def test_an_event_is_a_sentence_until_its_own_text_is_searched(loki, panel, browser, locale, sentence):
    event = 'failed seconds=3.316 exitCode=1 cause="no <b>model</b>"'
    loki.add(A, time.time_ns(), event, kind="event", level="error")
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale={locale}") as page:
        await until(page, f"{SEEN}[0] === {sentence!r}")
        await page.locator(".search").fill("exitCode=1")
        await until(page, f"{SEEN}[0] === {event!r}")
        assert page.wrong == []
