"""A real Chromium, and what tests ask of the component in it."""

import asyncio
import contextlib
import json
import shutil
import weakref

from support.waiting import WAIT_SECONDS

HEADLESS = "chromium-headless-shell"
"""The same Chromium without a window of its own, where it is installed: a page costs half as much."""
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Few processes: a page costs a quarter less.
    "--in-process-gpu",
    "--renderer-process-limit=1",
    "--disable-site-isolation-trials",
)

_CHANGED = "ERR_NETWORK_CHANGED"
"""Why Chromium drops all requests when another test makes a network interface; the panel asks again."""

# The panel, wherever it stands: in the page itself or in the frame that /embed is in.
PANEL = "document.querySelector('tracetail-panel')"


def part(selector):
    """Return the expression of an element of the panel."""
    return f"{PANEL}.shadowRoot.querySelector({selector!r})"


def texts(selector):
    """Return the expression of the texts of the panel's elements that match."""
    return f"[...{PANEL}.shadowRoot.querySelectorAll({selector!r})].map(e => e.textContent)"


SEEN = texts(".row .text")
TEXTS = f"{PANEL}.panel.log.document.blocks.flatMap(b => b.entries ?? []).map(e => e.text)"
"""Of all lines that are loaded, in sight or not."""
SCROLLER = part(".scroller")
FOLLOWING = f"({part('.follow')}.ariaPressed === 'true')"
COUNT = f"{part('.count')}.textContent"
NOTICE = f"{part('.notice')}.textContent"
IS_LIVE = f"({part('.link')}.dataset.link === 'live')"
VISIBLE = f"{PANEL}.panel.view.visibleLines"
"""The rows that are in sight, without those around them that are elements too."""

STILL = f"""async () => {{
  const scroller = {SCROLLER};
  for (let frames = 0, top = NaN; frames < 10; frames++) {{
    await new Promise(requestAnimationFrame);
    if (scroller.scrollTop !== top || {PANEL}.panel.log.isLoading) frames = 0;
    top = scroller.scrollTop;
  }}
}}"""


@contextlib.asynccontextmanager
async def chromium(*more):
    from playwright.async_api import async_playwright  # here and below: not in workers that need no browser

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which(HEADLESS) or shutil.which("chromium"),
            args=[*ARGUMENTS, *more],
            headless=True,
        )
        try:
            yield browser
        finally:
            await browser.close()


_CONTEXTS = weakref.WeakKeyDictionary()
"""By browser: the context of the pages that want nothing special."""


@contextlib.asynccontextmanager
async def _common_context(browser):
    """Yield a context that tests share: another window costs a second of CPU, another page of one a seventh of it.

    Its window stays open by an empty page. Each test's panel has a port, and thereby a local storage, of its own.
    """
    if browser not in _CONTEXTS:
        _CONTEXTS[browser] = await _new_context(browser)
        await _CONTEXTS[browser].new_page()
    context = _CONTEXTS[browser]
    await context.clear_cookies()
    yield context


@contextlib.asynccontextmanager
async def _own_context(browser, options):
    context = await _new_context(browser, **options)
    yield context
    await context.close()


async def _new_context(browser, **options):
    context = await browser.new_context(**{"viewport": {"width": 1100, "height": 640}, **options})
    context.set_default_timeout(WAIT_SECONDS * 1000)
    return context


@contextlib.asynccontextmanager
async def opened(browser, url, **options):
    """A page, and all that went wrong in it: errors, dialogs, violations of the policy. options: of its context."""
    async with _own_context(browser, options) if options else _common_context(browser) as context:
        page = await context.new_page()
        page.wrong = []
        pages = [page]
        page.on("popup", lambda popup: pages.append(popup))  # noqa: PLW0108  (Playwright takes no built-in)
        page.on("pageerror", lambda error: page.wrong.append(f"error {error}"))

        def logged(message):
            if message.type == "error" and _CHANGED not in message.text:
                page.wrong.append(message.text)

        page.on("console", logged)

        async def dialog(shown):
            page.wrong.append(f"dialog {shown.message}")
            await shown.dismiss()

        page.on("dialog", dialog)
        try:
            await _go(page, url)
            yield page
        finally:
            for one in pages:
                await one.close()


async def _go(page, url):
    """Open the address, anew while a change of the network breaks it off."""
    from playwright.async_api import Error

    broken = []
    page.on("requestfailed", lambda request: broken.append(request) if _CHANGED in (request.failure or "") else None)
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            broken.clear()
            try:
                await page.goto(url)
            except Error as error:
                if _CHANGED not in error.message:
                    raise
            else:
                if not broken:
                    return


async def until(page, condition, *, seconds=WAIT_SECONDS):
    """Wait until the expression is true, by a loop in the page, whose questions cost less than ours.

    A page that leads to another one ends the loop, and it begins there anew.
    """
    from playwright.async_api import Error

    loop = f"async () => {{ while (!({condition})) await new Promise(next => setTimeout(next, 30)) }}"
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await page.evaluate(loop)
            except Error as error:
                if "context was destroyed" not in error.message:
                    raise


@contextlib.asynccontextmanager
async def says(page, message):
    """Do the body, and wait until the panel has said this: it does for a few seconds only."""
    async with asyncio.TaskGroup() as group:
        group.create_task(until(page, f"{part('.said')}.textContent === {json.dumps(message)}"))
        await asyncio.sleep(0)  # the page is asked first
        yield


async def until_still(page):
    """Wait until nothing moves and nothing is being loaded, for ten frames."""
    async with asyncio.timeout(WAIT_SECONDS):
        await page.evaluate(STILL)
