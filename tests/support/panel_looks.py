"""The looks of the panel that are worth a check: list, failed launch, small frame, dialogs; and how to get there."""

import contextlib
import time
from typing import NamedTuple

from support.panel_browser import opened, part, until, until_still
from support.trace_lines import LABELS
from tracetail.contract.heartbeat import SERVICE

SECOND = 10**9
FAILED = {**LABELS, "service_name": "Qwen/Qwen2-7B", "host": "gpu-07"}
READY = {**FAILED, "traceId": "t0", "launchId": "20261121T120000-000000", "host": "gpu-01"}
TEXTS = (
    ("DEBUG one", "debug"),
    ("INFO Started server process [71] \x1b[31mred\x1b[0m \x1b[36mcyan\x1b[0m", "info"),
    ("WARNING swap space is low", "warning"),
    ("ERROR Traceback (most recent call last):", "error"),
    ("ERROR ValueError: the KV cache is too small", "error"),
)
EVENTS = (
    'started port=8000 pid=71 command="vllm serve /m --max-model-len 4096"',
    "phase name=imports seconds=4",
    'phase name="weights loaded" seconds=20',
)
KEYS = {".errors": "x", ".comparison": "v", ".starts": "h", ".help": "?"}


def add_history(loki):
    now = time.time_ns()
    for number, text in enumerate((*EVENTS, "ready seconds=30")):
        loki.add(READY, now - (7200 - number) * SECOND, text, kind="event", level="info")
    loki.add({"service_name": SERVICE, "host": "gpu-01"}, now - 600 * SECOND, heartbeat_of(READY))
    for number, text in enumerate(EVENTS[:2]):
        loki.add(FAILED, now - (300 - number) * SECOND, text, kind="event", level="info")
    for number, (text, level) in enumerate(TEXTS * 8):
        loki.add(
            FAILED, now - (250 - number) * SECOND, text, level=level, process=f"Worker_{number % 2}", request_id="r-1"
        )
    english = 'cause="the KV cache is too small" hint="lower it"'
    chinese = 'causeZh="KV 缓存太小" hintZh="调小"'
    exited = f"exited state=failed seconds=100 exitCode=1 causeCode=kv {english} {chinese} "
    loki.add(FAILED, now - 200 * SECOND, f'{exited}evidence="{TEXTS[4][0]}"', kind="event", level="error")


def heartbeat_of(labels):
    return f"heartbeat seconds=30 launches={labels['launchId']}"


class Look(NamedTuple):
    """A page of the panel, its size, and what lies over the log."""

    name: str
    address: str
    theme: str = "light"
    size: tuple[int, int] = (1280, 800)
    layer: str = ""


LOOKS = (
    Look("list", ""),
    Look("list-narrow", "", "dark", (420, 760)),
    Look("failed", "traceId=t1"),
    Look("failed-dark", "traceId=t1", "dark"),
    Look("search", "traceId=t1&q=KV"),
    Look("narrow", "traceId=t1", size=(420, 480)),
    Look("lost", "traceId=t0", "dark"),
    Look("errors", "traceId=t1", layer=".errors"),
    Look("comparison", "traceId=t1", "dark", layer=".comparison"),
    Look("starts", "traceId=t1", layer=".starts"),
    Look("starts-dark", "traceId=t1", "dark", (420, 480), ".starts"),
    Look("help", "traceId=t1", layer=".help"),
    Look("empty", "traceId=none"),
)


@contextlib.asynccontextmanager
async def shown(browser, url, look, locale):
    """A page that shows a look, when all of it is there."""
    viewport = {"width": look.size[0], "height": look.size[1]}
    address = f"{url}/panel?{look.address}&theme={look.theme}&locale={locale}"
    async with opened(browser, address, viewport=viewport) as page:
        if look.name.startswith("list"):
            await until(page, f"{part('.list tbody')}?.children.length === 2")
        elif look.name == "empty":
            await until(page, f"!{part('.notice')}.hidden && {part('.notice li')} !== null")
        elif look.name == "lost":
            await until(page, f"{part('.link')}.dataset.link === 'silent'")
        else:
            await until(page, f"{part('.row.selected')} !== null && {part('.cause .before')}?.hidden === false")
            await until(page, f"!{part('.histogram')}.hidden")
            await until_still(page)
        if look.layer:
            await page.locator(".scroller").focus()
            await page.keyboard.press(KEYS[look.layer])
            await page.locator(look.layer).wait_for()
        yield page
