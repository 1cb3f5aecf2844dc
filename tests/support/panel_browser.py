"""A real Chromium, and what tests ask of the component in it."""

import asyncio
import contextlib
import shutil

from playwright.async_api import async_playwright

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

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
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*ARGUMENTS, *more], headless=True
        )
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def opened(browser, url, **options):
    """A page, and all that went wrong in it: errors, dialogs, violations of the policy."""
    context = await browser.new_context(viewport={"width": 1100, "height": 640}, **options)
    page = await context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(f"error {error}"))
    page.on("console", lambda m: page.wrong.append(m.text) if m.type == "error" else None)

    async def dialog(shown):
        page.wrong.append(f"dialog {shown.message}")
        await shown.dismiss()

    page.on("dialog", dialog)
    await page.goto(url)
    try:
        yield page
    finally:
        await context.close()


async def until(page, condition, *, seconds=20):
    """Wait until the expression is true. Asked from outside: the panel's policy forbids the page to evaluate it."""
    async with asyncio.timeout(seconds):
        while not await page.evaluate(condition):  # noqa: ASYNC110  (what is waited for happens in the browser)
            await asyncio.sleep(0.03)


async def until_still(page):
    """Wait until nothing moves and nothing is being loaded, for ten frames."""
    async with asyncio.timeout(20):
        await page.evaluate(STILL)
