"""The component in real Chromium."""

import asyncio
import time

import jwt
import pytest
from aiohttp import web
from support.environment import free_port
from support.panel_browser import (
    COUNT,
    FOLLOWING,
    IS_LIVE,
    PANEL,
    SCROLLER,
    SEEN,
    TEXTS,
    VISIBLE,
    opened,
    part,
    texts,
    until,
    until_still,
)

pytestmark = pytest.mark.needs("chromium")

SECRET = "a secret of more than thirty-two bytes, for tests"
A = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "Qwen/Qwen2-7B",
    "env": "test",
    "engine": "vllm",
    "host": "gpu-07",
}


def fill(loki, count, *, start=None, prefix="line", labels=A):
    start = start or time.time_ns() - 120 * 10**9
    for index in range(count):
        level = "error" if index == count // 2 else "info"
        loki.add(labels, start + index * 10**5, f"INFO {prefix} {index}", level=level, code="x.py:1")
    return start + count * 10**5


async def test_a_log_is_followed_and_stays_still_where_the_reader_scrolled_to(loki, panel, browser):
    after = fill(loki, 900)
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, f"{SEEN}.includes('INFO line 899')")
        loki.add(A, after, "INFO fresh", level="info")
        await until(page, f"{SEEN}.includes('INFO fresh')")
        await page.mouse.move(500, 500)
        await page.mouse.wheel(0, -900)
        await until(page, f"!{FOLLOWING}")
        seen = f"{VISIBLE}[3].entry.text"
        await until_still(page)
        before = await page.evaluate(seen)
        for index in range(30):
            loki.add(A, after + 1 + index, f"INFO more {index}", level="info")
        await until(page, f"{part('.jump')}.textContent.includes('30')")
        assert await page.evaluate(seen) == before
        await page.keyboard.press("Tab")
        await page.locator(".jump").click()
        await until(page, f"{SEEN}.includes('INFO more 29')")
        assert page.wrong == []


async def test_every_line_is_reached_by_scrolling_and_by_number(loki, panel, browser):
    fill(loki, 6000)
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, f"{COUNT} === '6,000 lines'")
        await page.locator(".scroller").focus()
        await page.keyboard.press("g")
        await until(page, f"{SEEN}[0] === 'INFO line 0'")
        await page.keyboard.press(":")
        await page.keyboard.type("3456")
        await page.keyboard.press("Enter")
        await until(page, f"{SEEN}.includes('INFO line 3455')")
        number = f"{texts('.row.selected .number')}.join()"
        await until(page, f"{number} === '3456'")
        await page.keyboard.press("e")
        await until(page, f"{SEEN}.includes('INFO line 3000')")
        assert page.wrong == []


async def test_lines_that_were_just_loaded_are_not_unloaded(loki, panel, browser):
    fill(loki, 16_000)
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, f"{COUNT} === '16,000 lines'")
        # As much as is kept, the second thousand among it: beside the hole at the start there is nothing but lines.
        for number in (1500, *range(2500, 14_500, 1000)):
            await page.evaluate(f"{PANEL}.panel.navigation.goToNumber({number})")
            await until(page, f"{VISIBLE}.some(row => row.number === {number})")
        await page.evaluate(f"{PANEL}.panel.navigation.goToNumber(1500)")
        await until(page, f"{VISIBLE}.some(row => row.number === 1500)")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        await page.locator(".scroller").focus()
        await page.keyboard.press("g")
        await until(page, f"{SEEN}[0] === 'INFO line 0'")
        await until_still(page)
        assert len([url for url in asked if "/api/logs?" in url]) <= 2
        assert await page.evaluate(f"{PANEL}.panel.log.document.loadedCount") <= 13_000


async def test_scrolling_up_by_whatever_means_ends_following(loki, panel, browser):
    after = fill(loki, 900)
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, f"{FOLLOWING} && {SEEN}.includes('INFO line 899')")
        await page.evaluate(f"{SCROLLER}.scrollTop -= 3000")
        await until(page, f"!{FOLLOWING}")
        loki.add(A, after, "INFO fresh", level="info")
        await until(page, f"{part('.jump')}.textContent.startsWith('1 new line ')")
        assert not await page.evaluate(f"{SEEN}.includes('INFO fresh')")

        await page.evaluate(f"{SCROLLER}.scrollTop = 0")
        await until(page, f"{SEEN}[0] === 'INFO line 0'")
        # To the end and up again before the browser reports either: one event reports both.
        await page.evaluate(f"{PANEL}.panel.view.follow(true); {SCROLLER}.scrollTop -= 3000")
        await until(page, f"!{FOLLOWING}")


async def test_search_counts_and_steps_through_the_whole_log(loki, panel, browser):
    fill(loki, 3000)
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.locator(".scroller").focus()
        await page.keyboard.press("/")
        await page.keyboard.type("line 77")
        result = f"{part('.result')}.textContent"
        await until(page, f"{result} === '1 / 11'")
        await until(page, f"{SEEN}.includes('INFO line 77')")
        await page.keyboard.press("Enter")
        await until(page, f"{result} === '2 / 11'")
        await until(page, f"{SEEN}.includes('INFO line 770')")
        assert await page.evaluate(f"{PANEL}.shadowRoot.querySelectorAll('.row.cursor mark').length") == 1
        await page.keyboard.press("Shift+Enter")
        await until(page, f"{result} === '1 / 11'")
        await page.keyboard.press("Escape")
        await until(page, f"{result} === ''")
        assert page.wrong == []


async def test_a_filter_shows_only_its_lines_and_new_ones_as_they_come(loki, panel, browser):
    after = fill(loki, 2000)
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.locator(".scroller").focus()
        await page.keyboard.press("4")
        await until(page, f"{SEEN}.join() === 'INFO line 1000'")
        loki.add(A, after, "ERROR again", level="error")
        loki.add(A, after + 1, "INFO not", level="info")
        await until(page, f"{SEEN}.join() === 'INFO line 1000,ERROR again'")
        await page.keyboard.press("1")
        await until(page, f"{SEEN}.includes('INFO not')")
        assert page.wrong == []


HOSTILE = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror=window.pwned=1>",
    "javascript:window.pwned=1",
    '<a href="javascript:window.pwned=1">click</a>',
    "</span></div><iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "\u202eevil\u202c gnp.exe",
    "zero\u200bwidth\u2060joined\ufeff",
    "\x1b]8;;javascript:window.pwned=1\x07link\x1b]8;;\x07",
    "\x1b[31mred\x1b[0m \x1b[1;4;38;2;1;2;3mstyled\x1b[0m \x1b[2J\x1b[H\x1b]0;title\x07",
    "\x1b[1m" * 20_000 + "bomb",
    "\x1b[" + "9;" * 5_000 + "m parameters",
    "\x00\x01\x02\x07\x08 controls \x7f",
    "style=position:fixed;inset:0 {{constructor.constructor('window.pwned=1')()}} ${window.pwned=1}",
)


async def test_a_hidden_tab_closes_its_connection_and_resumes_at_the_same_line(loki, panel, browser):
    after = fill(loki, 50)
    hide = "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true }); "
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, IS_LIVE)
        await page.evaluate("customElements.get('tracetail-panel').restAfterMs = 10")
        await page.evaluate(hide, True)
        async with asyncio.timeout(60):
            while panel.server.feeds.viewers:  # noqa: ASYNC110  (what is waited for happens in the server)
                await asyncio.sleep(0.01)
        loki.add(A, after, "INFO meanwhile", level="info")
        await page.evaluate(hide, False)
        await until(page, f"{TEXTS}.at(-1) === 'INFO meanwhile'")
        assert len(await page.evaluate(TEXTS)) == 51
        assert page.wrong == []


async def test_a_hostile_log_is_text_and_runs_nothing(loki, panel, browser):
    start = time.time_ns() - 10**9
    for index, text in enumerate(HOSTILE):
        loki.add({**A, "service_name": "<b>m</b>"}, start + index, text, level="info", code="x")
    loki.add(
        A, start + 50, 'started service="<script>window.pwned=1</script>" host="<img src=x>" port=1', kind="event"
    )
    loki.add(
        A, start + 51, 'failed cause="<img src=x onerror=window.pwned=1>" hint="<script>1</script>"', kind="event"
    )
    loki.add(A, start + 60, "x" * 1_000_000, level="info", code="x")
    loki.add(A, start + 61, "INFO last", level="info", code="x")
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, f"{SEEN}.includes('INFO last')")
        await page.locator(".scroller").focus()
        await page.keyboard.press("w")
        await page.keyboard.press("Home")
        await until(page, f"{SEEN}.some(t => t.includes('<script>window.pwned = 1</script>'))")
        seen = await page.evaluate(SEEN)
        assert "javascript:window.pwned=1" in seen
        assert any("<202E>evil" in text for text in seen)
        assert any("zero<200B>width" in text for text in seen)
        assert any(text.startswith("red styled") for text in seen)
        assert any(text.startswith("link") for text in seen)
        inside = (
            f"{PANEL}.shadowRoot.querySelectorAll('script, img, iframe, a:not(.home), object, embed, b img').length"
        )
        assert await page.evaluate(inside) == 0
        assert await page.evaluate("window.pwned") is None
        longest = max(len(text) for text in seen)
        assert longest < 10_000
        assert page.wrong == []


async def test_a_cut_line_is_one_row_and_a_progress_bar_another(loki, panel, browser):
    start = time.time_ns() - 10**9
    loki.add(A, start, "one ", kind="cut")
    loki.add(A, start + 1, "ready seconds=1", kind="event")
    loki.add(A, start + 2, "line")
    for index in range(20):
        loki.add(A, start + 10 + index, f"loading {index * 5}%", kind="redraw")
    loki.add(A, start + 90, "INFO done", code="x")
    loki.add(A, start + 91, "Traceback (most recent call last):", level="error")
    for index in range(6):
        loki.add(A, start + 92 + index, f"  File {index}", level="error")
    async with opened(browser, f"{panel.url}/panel?traceId=t1") as page:
        await until(page, f"{SEEN}.some(t => t.startsWith('INFO done'))")
        await until(page, f"{SEEN}.length === 11")
        seen = await page.evaluate(SEEN)
        assert seen[0] == "one line"
        assert seen[2].startswith("loading 95%")
        await page.locator(".scroller").focus()
        await page.keyboard.press("z")
        await until(page, f"{SEEN}.length === 4")
        await page.locator(".more").click()
        await until(page, f"{SEEN}.includes('  File 5')")
        assert page.wrong == []


class BreakingProxy:
    """A proxy in front of the panel that breaks every stream after some bytes."""

    def __init__(self, target, session, after):
        self._target, self._session, self._after = target, session, after
        self.broken = 0

    async def handle(self, request):
        headers = {n: v for n, v in request.headers.items() if n not in ("Host", "Accept-Encoding")}
        async with self._session.get(self._target + request.path_qs, headers=headers, timeout=None) as upstream:
            kept = ("Content-Type", "Content-Security-Policy", "Cache-Control")
            response = web.StreamResponse(
                status=upstream.status, headers={n: upstream.headers[n] for n in kept if n in upstream.headers}
            )
            await response.prepare(request)
            sent = 0
            async for piece in upstream.content.iter_any():
                if request.path.endswith("/stream") and sent + len(piece) >= self._after:
                    await response.write(piece[: self._after - sent])
                    self.broken += 1
                    request.transport.abort()
                    break
                await response.write(piece)
                sent += len(piece)
            return response


async def test_a_connection_that_breaks_in_mid_stream_loses_and_repeats_nothing(loki, panel, browser):
    start = time.time_ns() - 10 * 10**9
    loki.add(A, start, "INFO line 0", code="x")
    breaking = BreakingProxy(panel.url, panel.session, 80_000)
    app = web.Application()
    app.router.add_get("/{path:.*}", breaking.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/panel?traceId=t1"
        async with opened(browser, url) as page:
            await until(page, f"{SEEN}.length === 1")
            written = ["INFO line 0"]
            for index in range(1, 2000):
                written.append(f"INFO line {index}")
                loki.add(A, start + index, written[-1], code="x")
                if index % 200 == 199:
                    await until(page, f"{TEXTS}.length >= {len(written)}")
            assert await page.evaluate(TEXTS) == written
            assert breaking.broken >= 3
    finally:
        await runner.cleanup()


def token(seconds=60, **claims):
    return jwt.encode({"exp": time.time() + seconds, "traces": ["t1"], "scope": "read", **claims}, SECRET)


class Platform:
    """A page of another origin: it embeds the panel both ways."""

    def __init__(self):
        self.html = ""
        self.url = ""

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/", self._page)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _page(self, _request):
        return web.Response(text=self.html, content_type="text/html")


async def test_element_and_frame_work_in_a_page_of_another_origin(loki, browser, tmp_path, start_panel):
    fill(loki, 50)
    (tmp_path / "secret").write_text(SECRET)
    async with (
        Platform() as platform,
        start_panel(loki.url, secret_file=str(tmp_path / "secret"), origins=[platform.url]) as panel,
    ):
        platform.html = f"""<!doctype html><body style="margin:0;height:3000px">
            <script type="module" src="{panel.url}/tracetail-panel.js"></script>
            <tracetail-panel src="{panel.url}" trace-id="t1" token="{token(seconds=3)}" style="height:300px">
            </tracetail-panel>
            <iframe src="{panel.url}/embed#traceId=t1&origin={platform.url}" width="900" height="300"></iframe>
            <script>
              const panel = document.querySelector("tracetail-panel");
              window.needed = 0;
              panel.addEventListener("token-needed", () => {{ needed++; panel.token = window.next; }});
              window.next = "{token()}";
              window.messages = [];
              addEventListener("message", (event) => messages.push({{ ...event.data, origin: event.origin }}));
            </script>"""
        async with opened(browser, platform.url) as page:
            await until(page, f"{SEEN}.includes('INFO line 49')")
            await until(page, "messages.some(m => m.type === 'tracetail:token-needed')")
            send = (
                "([type, value, to]) => document.querySelector('iframe').contentWindow.postMessage({type, value}, to)"
            )
            await page.evaluate(send, ["tracetail:token", token(), panel.url])
            await until(page, "messages.some(m => m.type === 'tracetail:ready')")
            frame = next(frame for frame in page.frames if "/embed" in frame.url)
            await until(frame, f"{SEEN}.includes('INFO line 49')")
            assert {message["origin"] for message in await page.evaluate("messages")} == {panel.url}
            # The component's token ends; a new one resumes at the same line.
            await until(page, "needed === 1")
            loki.add(A, time.time_ns(), "INFO after", code="x")
            await until(page, f"{TEXTS}.at(-1) === 'INFO after'")
            assert len(await page.evaluate(TEXTS)) == 51
            await until(frame, f"{SEEN}.includes('INFO after')")
            # Commands from the page around.
            await page.evaluate(send, ["tracetail:theme", "dark", panel.url])
            await until(frame, f"{PANEL}.dataset.theme === 'dark'")
            # The page around does not scroll when the panel is at its end.
            await page.evaluate("addEventListener('wheel', () => { window.turned = true; })")
            await page.mouse.move(400, 200)
            await page.mouse.wheel(0, 600)
            await until(page, "window.turned")
            await until_still(page)
            assert await page.evaluate("scrollY") == 0


async def test_a_page_of_another_origin_that_is_not_configured_can_embed_neither(
    loki, browser, tmp_path, start_panel
):
    fill(loki, 5)
    (tmp_path / "secret").write_text(SECRET)
    async with (
        Platform() as platform,
        start_panel(loki.url, secret_file=str(tmp_path / "secret"), origins=["https://other.example"]) as panel,
    ):
        platform.html = f"""<!doctype html><script type="module" src="{panel.url}/tracetail-panel.js"></script>
            <tracetail-panel src="{panel.url}" trace-id="t1" token="{token()}" style="height:300px"></tracetail-panel>
            <iframe src="{panel.url}/embed#traceId=t1&token={token()}"></iframe>"""
        async with opened(browser, platform.url) as page:
            await until(page, f"{PANEL}.shadowRoot && !{part('.notice')}.hidden")
            assert await page.evaluate(TEXTS) == []
            assert any("frame-ancestors" in text for text in page.wrong)
            # It says what to configure, and goes on saying it while it tries again.
            said = await page.evaluate(f"{part('.notice')}.innerText")
            assert "The panel does not answer this page." in said
            assert f'[panel] origins = ["{platform.url}"]' in said
            hidden = (
                "new MutationObserver(() => (window.blinked ||= notice.hidden)).observe(notice, {attributes: true})"
            )
            await page.evaluate(f"window.notice = {part('.notice')}; {hidden}")
            asked = "performance.getEntriesByType('resource').filter(e => e.name.includes('/api/logs')).length"
            before = await page.evaluate(asked)
            await until(page, f"{asked} >= {before + 2}")
            assert await page.evaluate("Boolean(window.blinked)") is False


async def test_a_page_whose_panel_does_not_answer_says_which_panel(loki, browser, start_panel):
    nobody = f"http://127.0.0.1:{free_port()}"
    async with Platform() as platform, start_panel(loki.url, origins=[platform.url]) as panel:
        platform.html = f"""<!doctype html><script type="module" src="{panel.url}/tracetail-panel.js"></script>
            <tracetail-panel src="{nobody}" trace-id="t1" locale="en"></tracetail-panel>"""
        async with opened(browser, platform.url) as page:
            await until(page, f"{PANEL}.shadowRoot && !{part('.notice')}.hidden")
            said = await page.evaluate(f"{part('.notice')}.innerText")
            assert said.startswith("The panel does not answer.")
            assert nobody in said


async def test_styles_of_the_page_around_do_not_get_into_the_element(loki, browser, start_panel):
    fill(loki, 3)
    parts = ".row, .row .text, .row .number, .count, .follow, .link, .toolbar input, .toolbar select, .toolbar button"
    looks = f"""(parts) => [...{PANEL}.shadowRoot.querySelectorAll(parts)].map((one) => {{
        const style = getComputedStyle(one);
        const names = ["color", "fontFamily", "fontSize", "lineHeight", "letterSpacing", "textAlign", "textTransform",
          "whiteSpace", "direction", "cursor", "userSelect", "listStyleType", "wordSpacing", "textIndent", "height"];
        return [one.tagName, one.className, ...names.map((name) => name + " " + style[name])].join(", ");
      }})"""
    seen = []
    async with Platform() as platform, start_panel(loki.url, origins=[platform.url]) as panel:
        for style in (
            "",
            """* { font: italic 40px/4 cursive !important; color: hotpink !important; letter-spacing: 9px !important;
                   text-transform: uppercase !important; }
               body { text-align: center; white-space: nowrap; direction: rtl; cursor: wait; user-select: none;
                   list-style: square; word-spacing: 1em; text-indent: 3em; }""",
        ):
            platform.html = f"""<!doctype html><meta charset="utf-8"><style>{style}</style><body>
                <script type="module" src="{panel.url}/tracetail-panel.js"></script>
                <tracetail-panel src="{panel.url}" trace-id="t1" locale="en" style="height: 400px">
                </tracetail-panel>"""
            async with opened(browser, platform.url) as page:
                await until(page, f"{PANEL}.shadowRoot && {SEEN}.length === 3 && {IS_LIVE}")
                seen.append(await page.evaluate(looks, parts))
    assert seen[0] == seen[1]


async def test_the_keyboard_page_the_language_and_a_narrow_window(loki, panel, browser):
    fill(loki, 200)
    async with opened(browser, f"{panel.url}/panel?traceId=t1&locale=zh") as page:
        await until(page, f"{SEEN}.length > 0")
        await page.locator(".scroller").focus()
        await page.keyboard.press("?")
        assert await page.get_by_role("dialog", name="键盘快捷键").is_visible()
        await page.keyboard.press("Escape")
        assert await page.get_by_role("dialog").count() == 0
        assert await page.get_by_role("log").is_visible()
        assert await page.get_by_role("toolbar").is_visible()
        await page.set_viewport_size({"width": 320, "height": 560})
        await until(page, f"innerWidth === 320 && {SCROLLER}.clientWidth <= 320")
        await until_still(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        wide = f"[...{PANEL}.shadowRoot.querySelectorAll('.panel > *:not(.scroller):not(.launches):not(.charts)')]"
        assert await page.evaluate(f"{wide}.filter(e => e.getBoundingClientRect().right > 321).length") == 0
        buttons = f"[...{PANEL}.shadowRoot.querySelectorAll('button:not([hidden])')]"
        unnamed = f"{buttons}.filter(b => !b.textContent && !b.ariaLabel)"
        assert await page.evaluate(f"{unnamed}.length") == 0
        assert page.wrong == []


async def test_selected_lines_are_copied_and_a_link_leads_back_to_one(loki, panel, browser):
    fill(loki, 3000)
    async with opened(
        browser, f"{panel.url}/panel?traceId=t1", permissions=["clipboard-read", "clipboard-write"]
    ) as page:
        await until(page, f"{SEEN}.includes('INFO line 2999')")
        await page.locator(".scroller").focus()
        await page.keyboard.press(":")
        await page.keyboard.type("100")
        await page.keyboard.press("Enter")
        await until(page, f"{SEEN}.includes('INFO line 99')")
        await page.get_by_text("102", exact=True).click(modifiers=["Shift"])
        await page.keyboard.press("y")
        copied = (
            "navigator.clipboard.readText().then(text => text === 'INFO line 99\\nINFO line 100\\nINFO line 101\\n')"
        )
        await until(page, copied)
        link = page.url
    async with opened(browser, link) as page:
        await until(page, f"{SEEN}.includes('INFO line 99')")
        assert page.wrong == []
