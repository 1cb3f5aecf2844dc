"""From the traceId of a red run to its cause on the screen and in the clipboard, with all parts and a real Chromium.

The failures are recorded ones (tests/data/field-starts). `make test-field ARGS="-s -k red_run"` prints actions and
seconds.
"""

import asyncio
import time

import pytest
from support.panel_browser import PANEL, VISIBLE, chromium, opened, part, until
from support.red_run_stage import stage

pytestmark = [pytest.mark.field, pytest.mark.needs("chromium")]

FAILURES = (
    "117-vllm032-kv-too-large",
    "104-vllm032-trunc-safetensors",
    "09-sglang-not-enough-memory",
    "01-vllm07-ascend-npu-oom",
    "203-llama-cuda-oom",
)
COPIED = "navigator.clipboard.readText()"


async def test_a_red_run_is_understood_and_copied_with_two_actions():
    with stage() as machine:
        results = {case: await asyncio.to_thread(machine.fail, case) for case in FAILURES}
        async with chromium() as browser:
            for case, result in results.items():
                began = time.monotonic()
                address = f"{machine.panel}/panel?traceId={result['traceId']}&locale=en"
                async with opened(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
                    await until(page, f"{part('.cause')} && !{part('.cause')}.hidden")
                    await until(page, f"{part('.row.selected')} !== null")
                    seen = time.monotonic() - began
                    in_sight = await page.evaluate(f"{VISIBLE}.some(row => {PANEL}.panel && row.entry.text)")
                    selected = await page.evaluate(f"{part('.row.selected .text')}.textContent")
                    await page.get_by_role("button", name="Copy for a ticket").click()
                    await until(page, f"(await {COPIED}).includes({result['traceId']!r})")
                    ticket = await page.evaluate(COPIED)
                    print(
                        f"{case}: 2 actions (open, copy), cause on the screen after {seen:.1f} s: {result['cause']}"
                    )
                    assert result["cause"] in ticket
                    assert in_sight
                    evidence = result.get("evidence", [""])[0].strip()
                    assert evidence[:60] in selected.strip() or evidence[:60] in ticket
                    assert f"traceId={result['traceId']}" in ticket
                    assert page.wrong == []
