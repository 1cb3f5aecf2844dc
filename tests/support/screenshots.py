"""Makes the pictures of the panel in the documentation: `make screenshots`.

Real launches on a machine of their own: servers that run, recorded failures (tests/data/field-starts), and what vLLM
printed on two machines (tests/data/engine-logs). A machine that was lost is in the store only.
"""

import asyncio
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from playwright.async_api import Page

from support.environment import free_port
from support.panel_browser import PANEL, SEEN, chromium, opened, part, until
from support.pytest_report import photograph
from support.red_run_stage import Stage, stage
from tracetail.contract.heartbeat import SERVICE
from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

_WIDE = {"width": 1280, "height": 800}
_NARROW = {"width": 420, "height": 760}
_FAILED = "117-vllm032-kv-too-large"
_TOO_MUCH = "107374182400000"
_OTHERS = (
    ("09-sglang-not-enough-memory", "llama-3.3-70b"),
    ("01-vllm07-ascend-npu-oom", "deepseek-r1-32b"),
    ("104-vllm032-trunc-safetensors", "qwen3-8b"),
)
_LOST = {
    "traceId": "nightly-4711",
    "instanceId": "4711",
    "launchId": "20261101T020000-10575e",
    "service_name": "glm-4.5-air",
    "env": "test",
    "engine": "vllm",
    "host": "gpu-19",
}
_REQUESTS = 12
_STARTS = 4
"""Of the model that failed in the end: its history."""
_SECOND = 1_000_000_000
# The two ways of docs/embedding.md in one page.
_PLATFORM = """<!doctype html><meta charset="utf-8"><title>Test platform</title>
<style>
  body {{ margin: 0; font: 15px system-ui; background: #eef1f6; color: #222 }}
  header {{ background: #27364b; color: #fff; padding: 12px 24px }}
  section {{ margin: 16px 24px; background: #fff; border: 1px solid #d5dbe5; border-radius: 8px; padding: 12px 16px }}
  h2 {{ font-size: 15px; margin: 0 0 8px }}
  tracetail-panel, iframe {{ width: 100%; height: 330px; border: 0; display: block }}
  tracetail-panel {{ --tracetail-accent: #5f3dc4 }}
</style>
<header>Test platform · nightly run 4711</header>
<section><h2>The element</h2>
<tracetail-panel src="{panel}" trace-id="{failed}" locale="en" theme="light"></tracetail-panel></section>
<section><h2>The frame</h2><iframe src="{panel}/embed#traceId={ready}&locale=en&theme=dark"></iframe></section>
<script type="module" src="{panel}/tracetail-panel.js"></script>
"""


class _Picture(NamedTuple):
    name: str
    address: str
    viewport: dict[str, int] = _WIDE
    key: str = ""
    """That is pressed when the launch is there."""


async def main(directory: Path) -> None:
    """Write the pictures into a directory."""
    port = free_port()
    platform = f"http://127.0.0.1:{port}"
    with stage(TRACETAIL_PANEL_ORIGINS=platform) as machine:
        ready, failed = await asyncio.to_thread(_launch, machine)
        await _lose(machine)
        red = f"traceId={failed['traceId']}"
        pictures = (
            _Picture("panel", f"traceId={ready['traceId']}&locale=en&theme=light"),
            _Picture("panel-crash", f"{red}&locale=en&theme=light"),
            _Picture("panel-dark", f"{red}&locale=en&theme=dark"),
            _Picture("panel-search-zh", f"{red}&locale=zh&theme=dark&q=memory"),
            _Picture("panel-narrow", f"{red}&locale=en&theme=light", _NARROW),
            _Picture("panel-list", "locale=en&theme=light"),
            _Picture("panel-errors", f"{red}&locale=en&theme=light", key="x"),
            _Picture("panel-compare", f"{red}&locale=en&theme=light", key="v"),
            _Picture("panel-starts", f"{red}&locale=en&theme=light", key="h"),
        )
        if os.geteuid() == 0:
            machine.two_hosts("two-hosts")
            pictures += (_Picture("two-hosts", "traceId=two-hosts&locale=en&theme=light"),)
        else:
            print("two-hosts.png is not made: only root can give a process another hostname")
        async with chromium() as browser:
            for picture in pictures:
                address = f"{machine.panel}/panel?{picture.address}"
                async with opened(browser, address, viewport=picture.viewport) as page:
                    await _settled(page, picture)
                    await _save(page, directory / f"{picture.name}.png")
            html = _PLATFORM.format(panel=machine.panel, failed=failed["traceId"], ready=ready["traceId"])
            runner = await _serve(html, port)
            async with opened(browser, platform, viewport={"width": 1100, "height": 840}) as page:
                await until(page, f"{part('.row.selected')} !== null && !{part('.cause')}.hidden")
                frame = page.frames[1]
                await frame.wait_for_function(f"{PANEL} && {SEEN}.length > 5")
                await _save(page, directory / "embedding.png")
            await runner.cleanup()
            await photograph(machine, browser, directory / "pytest-report.png")


def _launch(machine: Stage) -> tuple[dict[str, Any], dict[str, Any]]:
    """Start what the pictures show; return the launch that runs, and the one that failed after a ready one."""
    for case, model in _OTHERS:
        machine.fail(case, model)
    for _ in range(_STARTS):
        before = _vllm(machine, "--max-model-len", "32768", "--kv-cache-memory-bytes", "8589934592")
        machine.run("stop", "--launch", before["launchId"])
    served = machine.serve("qwen2.5-7b-instruct", env="prod")
    _ask(served["url"])
    failed = _vllm(machine, "--max-model-len", "131072", "--kv-cache-memory-bytes", _TOO_MUCH, "--enforce-eager")
    return served, failed


def _vllm(machine: Stage, *args: str) -> dict[str, Any]:
    return machine.vllm("Qwen/Qwen2.5-72B-Instruct", _FAILED, _TOO_MUCH, *args)


async def _lose(machine: Stage) -> None:
    """Write a launch into the store whose machine has been silent for four minutes."""
    now = time.time_ns()
    event = {"kind": "event", "level": "info"}
    started = f"started launchId={_LOST['launchId']} engine=vllm host=gpu-19 port=8000 pid=4711"
    client = LokiClient(LokiSettings(url=machine.store))
    events = [(now - 3000 * _SECOND, started, event), (now - 2900 * _SECOND, "ready seconds=100", event)]
    await client.push_entries(_LOST, events)
    heartbeat = (now - 250 * _SECOND, f"heartbeat seconds=30 launches={_LOST['launchId']}", {})
    await client.push_entries({"service_name": SERVICE, "host": "gpu-19"}, [heartbeat])
    await client.close()


async def _serve(html: str, port: int) -> web.AppRunner:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


async def _settled(page: Page, picture: _Picture) -> None:
    """Wait until what the picture is to show is there."""
    if picture.name == "panel-list":
        await until(page, f"{part('table')}?.querySelectorAll('tbody tr').length >= 6")
    elif picture.name in ("panel", "two-hosts"):
        await until(page, f"{SEEN}.length > 10")
    else:
        await until(page, f"{part('.row.selected')} !== null && {part('.cause .before')}?.hidden === false")
    if picture.key:
        await page.keyboard.press(picture.key)
        await until(page, f"{part('.help')} !== null")


async def _save(page: Page, path: Path) -> None:
    await page.wait_for_timeout(1500)  # the histogram and the numbers come in their own time; a picture may wait
    await page.screenshot(path=path)
    print(path)
    wrong = [text for text in page.wrong if "favicon" not in text and "404" not in text]
    assert wrong == [], wrong


def _ask(url: str) -> None:
    for number in range(_REQUESTS):
        body = b'{"model": "qwen2.5-7b-instruct", "prompt": "hello", "max_tokens": 8}'
        headers = {"Content-Type": "application/json", "X-Request-Id": f"order-{number}"}
        urllib.request.urlopen(urllib.request.Request(f"{url}/v1/completions", body, headers), timeout=30).close()
        time.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
