"""Measures the panel in real Chromium, on the embedded store or on the Loki that LOKI_URL names: `make bench-panel`.

    numbers    a trace of 1,000,000 lines, without a browser: how long its page, numbers, histogram and search take
    million    the same in the browser: first rows, numbers, frames a second while scrolling, memory of the page
    live       5,000 lines a second for a minute: every line arrives, how long the main thread is blocked at most
    latency    --rate lines a second through keeper, agent and store: from the server's write to the visible row
    viewers    --viewers of --traces, 1,000 lines a second in all: each gets every line; queries, CPU of the panel

Everything runs on this machine at the same time, Chromium included, so the figures are those of a crowded machine.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
from playwright.async_api import Browser, Page, async_playwright

LINES = 1_000_000
PUSH_LINES = 5_000
CHROMIUM = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-precise-memory-info"),
)
PANEL = "document.querySelector('tracetail-panel')"
NOTE_FIRST_ROWS = """
(() => {
  const look = (time) => {
    if (document.querySelector("tracetail-panel")?.shadowRoot?.querySelector(".row")) window.firstRows = time;
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()
"""
"""Notes the time of the first frame with lines, in the browser's own clock."""
IS_LIVE = f"{PANEL}.shadowRoot.querySelector('.link').dataset.link === 'live'"
PRINTER = """
import sys, time
rate, seconds = int(sys.argv[1]), float(sys.argv[2])
time.sleep(float(sys.argv[3]))
began = time.time()
for number in range(int(rate * seconds)):
    due = began + number / rate
    while (wait := due - time.time()) > 0:
        time.sleep(min(wait, 0.005))
    print(f"INFO 11-22 13:12:10 [bench.py:1] line {number} written @{time.time():.6f}", flush=True)
time.sleep(3600)
"""


class Part:
    """`tracetail store`, `panel` or `agent` as a child process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = psutil.Process(process.pid)
        self.url = url

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system


@contextlib.asynccontextmanager
async def part(name: str, environ: dict[str, str]) -> AsyncIterator[Part]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tracetail", name),
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout
    async with asyncio.timeout(30):
        line = (await process.stdout.readline()).decode()
    found = re.search(r"http://\S+", line)
    assert found, f"tracetail {name} did not start: {line!r}"
    try:
        yield Part(process, found[0])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def labels(name: str) -> dict[str, str]:
    return {
        "traceId": name,
        "instanceId": f"{name}-1",
        "launchId": time.strftime("%Y%m%dT%H%M%S") + "-abcdef",
        "service_name": "Qwen/Qwen2-7B",
        "env": "test",
        "engine": "vllm",
        "host": "gpu-07",
    }


class Pusher:
    """Pushes lines of one launch."""

    def __init__(self, loki: str, session: aiohttp.ClientSession, name: str, start_ns: int) -> None:
        self._url = loki + "/loki/api/v1/push"
        self._session = session
        self._labels = labels(name)
        self._next_ns = start_ns
        self.count = 0

    async def push(self, count: int, *, step_ns: int = 0) -> None:
        values = []
        for _ in range(count):
            number = self.count
            self._next_ns = self._next_ns + step_ns if step_ns else max(self._next_ns + 1, time.time_ns())
            level = "error" if number % 5000 == 4999 else "warning" if number % 97 == 0 else "info"
            source = f"api.py:{number % 900}"
            text = f"INFO 11-22 13:12:10 [{source}] line {number} request {number * 7919 % 1_000_003:x} done"
            metadata = {"level": level, "process": "APIServer", "pid": "71", "source": source}
            values.append([str(self._next_ns), text, metadata])
            self.count += 1
        body = orjson.dumps({"streams": [{"stream": self._labels, "values": values}]})
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._url, data=io.BytesIO(body), headers=headers) as answer:
            assert answer.status == 204, await answer.text()


async def until(page: Page, condition: str, seconds: float = 120) -> float:
    """Wait until the expression is true; return the seconds it took."""
    began = time.perf_counter()
    async with asyncio.timeout(seconds):
        while not await page.evaluate(condition):  # noqa: ASYNC110  (the browser is asked from outside)
            await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def memory_mb(page: Page) -> str:
    """Return the JavaScript heap after a collection, and the private memory of the largest renderer."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    heap = await page.evaluate("performance.memory.usedJSHeapSize")
    renderers = []
    for process in psutil.process_iter(["cmdline"]):
        with contextlib.suppress(psutil.Error):
            if "--type=renderer" in " ".join(process.info["cmdline"] or []):
                renderers.append(process.memory_full_info().uss)
    private = max(renderers, default=0)
    return f"{heap / 1e6:.0f} MB JavaScript heap, {private / 1e6:.0f} MB private memory of its process"


SCROLL = """async ([seconds, how]) => {
  const scroller = document.querySelector('tracetail-panel').shadowRoot.querySelector('.scroller');
  const frames = [];
  const began = performance.now();
  let last = began;
  let blank = 0;
  while (performance.now() - began < seconds * 1000) {
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
    if (how === 'wheel') scroller.scrollTop -= 120;
    else scroller.scrollTop = scroller.scrollHeight * (0.5 + 0.5 * Math.sin((now - began) / 900));
    if (!document.querySelector('tracetail-panel').shadowRoot.querySelector('.row')) blank++;
  }
  frames.shift();
  frames.sort((a, b) => a - b);
  const p95 = frames[Math.floor(frames.length * 0.95)];
  return { fps: frames.length / ((last - began) / 1000), p95, worst: frames[frames.length - 1], blank };
}"""


async def push_million(loki: str, session: aiohttp.ClientSession, lines: int) -> None:
    """Push the trace `bench-million`, unless another scenario has."""
    counting = {"query": 'sum(count_over_time({traceId="bench-million"}[2h]))'}
    async with session.get(loki + "/loki/api/v1/query", params=counting) as answer:
        if (await answer.json())["data"]["result"]:
            return
    pusher = Pusher(loki, session, "bench-million", time.time_ns() - 3600 * 10**9)
    began = time.perf_counter()
    while pusher.count < lines:
        await pusher.push(PUSH_LINES, step_ns=3_000_000)
    say("million", "lines pushed", f"{lines:,} in {time.perf_counter() - began:.0f} s")


async def numbers(loki: str, panel: Part, session: aiohttp.ClientSession, lines: int) -> None:
    await push_million(loki, session, lines)

    async def ask(path: str, **params: str) -> Any:
        async with session.get(panel.url + path, params={"traceId": "bench-million", **params}) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    began = time.perf_counter()
    first_page = await ask("/api/logs", limit="400")
    say("numbers", "first page, the first time", f"{time.perf_counter() - began:.3f} s")
    began = time.perf_counter()
    while not (counted := await ask("/api/logs/index"))["complete"]:  # noqa: ASYNC110  (as the page asks)
        await asyncio.sleep(0.4)
    say("numbers", "numbers, the first time", f"{time.perf_counter() - began:.3f} s")
    assert sum(counted["counts"].values()) == lines
    requests = {
        "first page, 400 lines": ("/api/logs", {"limit": "400"}),
        "numbers of that page": ("/api/logs/index", {"before": first_page["lines"][0]["id"]}),
        "numbers of the whole log": ("/api/logs/index", {}),
        "histogram by level": ("/api/logs/histogram", {}),
        "search of the whole log": ("/api/logs/search", {"q": "line 777777 "}),
    }
    for what, (path, params) in requests.items():
        took = []
        for _ in range(5):
            began = time.perf_counter()
            await ask(path, **params)
            took.append(time.perf_counter() - began)
            await asyncio.sleep(2.5)  # longer than the panel shares an answer
        say("numbers", what, f"median {statistics.median(took):.3f} s, worst of 5 {max(took):.3f} s")


async def million(browser: Browser, loki: str, panel: Part, session: aiohttp.ClientSession, lines: int) -> None:
    await push_million(loki, session, lines)
    firsts: list[float] = []
    for number in range(5):
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await page.add_init_script(NOTE_FIRST_ROWS)
        began = time.perf_counter()
        await page.goto(f"{panel.url}/panel?traceId=bench-million")
        await until(page, "window.firstRows > 0")
        firsts.append(await page.evaluate("window.firstRows") / 1000)
        await until(page, f"{PANEL}.panel.log.document.total === {lines}", 600)
        if number == 0:
            say("million", "line numbers there after", f"{time.perf_counter() - began:.1f} s, the first time")
        if number < 4:
            await page.close()
    say("million", "first rows", f"the first time {firsts[0]:.2f} s, then {statistics.median(firsts[1:]):.2f} s")
    for how in ("wheel", "scrollbar"):
        await page.evaluate(f"{PANEL}.panel.view.follow(false)")
        shown = await page.evaluate(SCROLL, [10, how])
        figures = f"{shown['fps']:.0f} frames/s, p95 {shown['p95']:.0f} ms, worst {shown['worst']:.0f} ms"
        say("million", f"scrolling by {how}", figures)
    await page.evaluate(f"{PANEL}.panel.navigation.toStart()")
    took = await until(page, f"{PANEL}.panel.view.visibleLines[0]?.number === 1")
    say("million", "to the first line", f"{took:.2f} s")
    say("million", "memory of the page", await memory_mb(page))
    began = time.perf_counter()
    params = {"traceId": "bench-million", "q": "line 777777 "}
    async with session.get(f"{panel.url}/api/logs/search", params=params) as answer:
        found = await answer.json()
    say("million", "search of the whole log", f"{time.perf_counter() - began:.2f} s, {found['count']} found")
    await page.close()


async def paced(pusher: Pusher, rate: int, seconds: float) -> None:
    """Push at this rate, in lines a second."""
    began, before = time.perf_counter(), pusher.count
    while (passed := time.perf_counter() - began) < seconds:
        wanted = int(passed * rate) - (pusher.count - before)
        if wanted > 0:
            await pusher.push(wanted)
        await asyncio.sleep(0.05)


LONG_TASKS = """() => {
  window.longest = 0;
  window.blocked = [];
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      window.longest = Math.max(longest, duration);
      blocked.push(duration);
    }
  }).observe({ type: 'longtask' });
}"""


async def live(browser: Browser, loki: str, panel: Part, session: aiohttp.ClientSession, seconds: float) -> None:
    pusher = Pusher(loki, session, "bench-live", time.time_ns() - 10**9)
    await pusher.push(100)
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await page.goto(f"{panel.url}/panel?traceId=bench-live")
    await until(page, IS_LIVE)
    await page.evaluate(LONG_TASKS)
    await paced(pusher, 5000, seconds)
    await until(page, f"{PANEL}.panel.log.document.total === {pusher.count}", 60)
    longest, blocked = await page.evaluate("[longest, blocked.length]")
    say("live", "lines", f"{pusher.count:,} in {seconds:.0f} s, every one counted by the page")
    say("live", "main thread", f"blocked for {longest:.0f} ms at most; {blocked} tasks over 50 ms")
    say("live", "memory of the page", await memory_mb(page))
    await page.close()


WATCH_ROWS = """() => {
  window.delays = [];
  const seen = new Set();
  const look = () => {
    const now = Date.now() / 1000;
    for (const text of document.querySelector('tracetail-panel').shadowRoot.querySelectorAll('.row .text')) {
      const match = /line (\\d+) written @([\\d.]+)/.exec(text.textContent);
      if (match && !seen.has(match[1])) { seen.add(match[1]); delays.push(now - Number(match[2])); }
    }
    requestAnimationFrame(look);
  };
  look();
}"""


async def latency(browser: Browser, panel: Part, environ: dict[str, str], seconds: float, rate: int) -> None:
    trace = f"bench-latency-{os.getpid()}"
    parameters = {
        "modelName": "bench",
        "traceId": trace,
        "command": [sys.executable, "-c", PRINTER, str(rate), str(seconds), "4"],
        "readyWhen": "alive",
    }
    start = (sys.executable, "-m", "tracetail", "start", "--params", json.dumps(parameters))
    process = await asyncio.create_subprocess_exec(
        *start, env={**os.environ, **environ}, stdout=asyncio.subprocess.PIPE
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    try:
        await page.goto(f"{panel.url}/panel?traceId={trace}")
        await until(page, IS_LIVE)
        await page.evaluate(WATCH_ROWS)
        await asyncio.sleep(seconds + 4)
        delays = sorted(await page.evaluate("delays"))
        await until(page, f"{PANEL}.panel.log.document.total >= {int(rate * seconds)}", 30)
        p50, p99 = (delays[int(len(delays) * part)] for part in (0.5, 0.99))
        figures = f"p50 {p50:.2f} s, p99 {p99:.2f} s, worst {delays[-1]:.2f} s of {len(delays):,} rows"
        say("latency", "write to visible row", figures)
    finally:
        await page.close()
        stop = (sys.executable, "-m", "tracetail", "stop", "--params", json.dumps({"modelName": "bench"}))
        ending = await asyncio.create_subprocess_exec(
            *stop, env={**os.environ, **environ}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await ending.wait()


async def view(session: aiohttp.ClientSession, url: str, trace: str, lines: int) -> tuple[int, bool]:
    """Read one stream until it has brought this number of lines; return how many came, and whether in order."""
    numbers: list[int] = []
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(f"{url}/api/logs/stream", params={"traceId": trace}, timeout=timeout) as answer:
        rest = b""
        async for piece in answer.content.iter_any():
            rest += piece
            *events, rest = rest.split(b"\n\n")
            for event in events:
                if b"event: lines" in event:
                    numbers += [int(n) for n in re.findall(rb'"text":"[^"]*? line (\d+) ', event)]
            if len(numbers) >= lines:
                break
    return len(numbers), numbers == list(range(lines))


async def viewers(
    loki: str, panel: Part, session: aiohttp.ClientSession, count: int, traces: int, seconds: float
) -> None:
    names = [f"bench-viewers-{number}" for number in range(traces)]
    pushers = [Pusher(loki, session, name, time.time_ns() - 10**9) for name in names]
    for pusher in pushers:
        await pusher.push(10)
    rate = 1000 // traces
    lines = 10 + int(rate * seconds)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as readers:
        reading = [
            asyncio.create_task(view(readers, panel.url, names[number % traces], lines)) for number in range(count)
        ]
        await until_metric(session, panel, "tracetail_panel_viewers", count)
        await until_quiet(session, panel, traces)
        asked = await metric(session, panel, "tracetail_panel_loki_requests")
        cpu, began = panel.cpu_seconds(), time.time()
        await asyncio.gather(*(paced(pusher, rate, seconds) for pusher in pushers))
        for pusher in pushers:
            if pusher.count < lines:
                await pusher.push(lines - pusher.count)
        took = time.time() - began
        asked = await metric(session, panel, "tracetail_panel_loki_requests") - asked
        async with asyncio.timeout(120):
            results = await asyncio.gather(*reading)
        cpu = panel.cpu_seconds() - cpu
    whole = sum(right for _, right in results)
    say(
        "viewers", "every line once, in order", f"{whole} of {count} viewers of {traces} traces, {lines:,} lines each"
    )
    say("viewers", "queries to Loki", f"{asked / took:.1f} a second in all ({took / asked * 1000:.0f} ms a tick)")
    say("viewers", "panel", f"{cpu / took * 100:.0f}% of a core for {count * lines / took:,.0f} lines a second sent")


async def metric(session: aiohttp.ClientSession, panel: Part, name: str) -> float:
    async with session.get(panel.url + "/metrics") as answer:
        found = re.search(rf"^{name} (\S+)$", await answer.text(), re.MULTILINE)
    assert found
    return float(found[1])


async def until_metric(session: aiohttp.ClientSession, panel: Part, name: str, value: float) -> None:
    async with asyncio.timeout(60):
        while await metric(session, panel, name) < value:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_quiet(session: aiohttp.ClientSession, panel: Part, traces: int) -> None:
    """Wait until every viewer has what was there: from then on only the poller of each trace asks Loki."""
    await asyncio.sleep(3.0)  # the last viewers begin to read
    before, now = -100.0, 0.0
    while now - before > 10 * traces:
        before = await metric(session, panel, "tracetail_panel_loki_requests")
        await asyncio.sleep(1.0)
        now = await metric(session, panel, "tracetail_panel_loki_requests")


def say(scenario: str, what: str, figures: str) -> None:
    print(f"{scenario:9} {what:28} {figures}", flush=True)


async def main(given: argparse.Namespace) -> None:
    chosen, lines, seconds = given.scenarios, given.lines, given.seconds
    with tempfile.TemporaryDirectory() as state:
        environ = {
            "TRACETAIL_STATE_DIR": state,
            "TRACETAIL_STORE_OPEN": "true",
            "TRACETAIL_PANEL_OPEN": "true",
            "TRACETAIL_PANEL_VIEWERS": "2000",
            "TRACETAIL_STORE_LISTEN": "127.0.0.1:0",
            "TRACETAIL_PANEL_LISTEN": "127.0.0.1:0",
            "TRACETAIL_AGENT_LISTEN": "127.0.0.1:0",
            "TRACETAIL_AGENT_STATE_DIRS": state,
        }
        async with contextlib.AsyncExitStack() as stack:
            loki = os.environ.get("LOKI_URL", "")
            if not loki:
                loki = (await stack.enter_async_context(part("store", environ))).url
            environ["TRACETAIL_LOKI_URL"] = loki
            panel = await stack.enter_async_context(part("panel", environ))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            if "numbers" in chosen:
                await numbers(loki, panel, session, lines)
            if not set(chosen) - {"numbers"}:
                return
            executable = shutil.which("chromium")
            if executable is None:
                raise SystemExit("this benchmark needs Chromium: apt-get install chromium")
            playwright = await stack.enter_async_context(async_playwright())
            browser = await playwright.chromium.launch(executable_path=executable, args=CHROMIUM)
            stack.push_async_callback(browser.close)
            say(
                "machine",
                f"{os.cpu_count()} cores",
                f"Chromium {browser.version}, {'Loki' if 'LOKI_URL' in os.environ else 'store'}",
            )
            if "million" in chosen:
                await million(browser, loki, panel, session, lines)
            if "live" in chosen:
                await live(browser, loki, panel, session, seconds)
            if "viewers" in chosen:
                await viewers(loki, panel, session, given.viewers, given.traces, min(seconds, 20))
            if "latency" in chosen:
                async with part("agent", environ):
                    await latency(browser, panel, environ, min(seconds, 30), given.rate)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("scenarios", nargs="*", default=["numbers", "million", "live", "viewers", "latency"])
    arguments.add_argument("--lines", type=int, default=LINES)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--rate", type=int, default=1000, help="lines a second of `latency`")
    arguments.add_argument("--viewers", type=int, default=200)
    arguments.add_argument("--traces", type=int, default=1, help="of the viewers")
    given = arguments.parse_args()
    root = str(Path(__file__).resolve().parent.parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    asyncio.run(main(given))
