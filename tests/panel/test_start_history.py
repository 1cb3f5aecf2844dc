"""The last starts of a model on all machines, as a plot and a table; `tracetail history` prints those of one."""

import time

import pytest
from support.panel_browser import IS_LIVE, PANEL, opened, texts, until
from support.trace_lines import LABELS

SECOND = 10**9
VLLM = "INFO [core.py:133] Initializing a V1 LLM engine (v{}) with config: model='/m'"
"""As vLLM 0.11 to 0.32 print it."""


def add_start(loki, number, *, version="0.31.0", load=40, ended="", **labels):
    """Add a start of the model, in which loading took so many seconds; higher numbers are newer."""
    began = time.time_ns() - (20 - number) * 3600 * SECOND
    labels = {**LABELS, "traceId": f"t{number}", "launchId": f"20261122T12{number:04}-aaaaaa", **labels}
    lines = (
        ("started port=8000 pid=71", "event"),
        (VLLM.format(version), ""),
        ("phase name=imports seconds=10", "event"),
        (f'phase name="weights loaded" seconds={load}', "event"),
        (ended or f"ready seconds={load + 12}", "event"),
    )
    for index, (text, kind) in enumerate(lines):
        loki.add(labels, began + index * SECOND, text, level="info", **({"kind": kind} if kind else {}))


@pytest.fixture
def starts(loki):
    """Add three alike, one that failed, one of a newer version that took longer, and two of something else."""
    for number in range(3):
        add_start(loki, number)
    add_start(loki, 3, ended='exited state=failed seconds=90 exitCode=1 cause="no such model"')
    add_start(loki, 4, version="0.32.0", load=92)
    add_start(loki, 5, env="prod")
    add_start(loki, 6, service_name="other")


async def test_the_last_starts_of_a_model_have_versions_phases_and_what_changed(starts, panel):
    found = (await panel.get("/api/history", modelName="m", env="test"))["starts"]
    newest, failed, *earlier = found
    assert newest["launch"]["versions"] == {"vLLM": "0.32.0"}
    assert [(one["name"], one["seconds"]) for one in newest["launch"]["phases"]] == [
        ("imports", 10),
        ("weights loaded", 92),
    ]
    assert (newest["launch"]["readySeconds"], newest["change"], newest["slower"]) == (104, 1.0, True)
    assert (failed["launch"]["state"], "change" in failed) == ("failed", False)
    assert [(one["change"], one["slower"]) for one in earlier[:2]] == [(0.0, False)] * 2
    assert "change" not in earlier[2], "there is none before it"
    assert len(found) == 5
    everywhere = (await panel.get("/api/history", modelName="m", limit=1))["starts"]
    assert [one["launch"]["env"] for one in everywhere] == ["prod"]
    assert (await panel.get("/api/history", modelName="unknown"))["starts"] == []


async def test_a_token_shows_the_starts_of_its_traces_only(starts, loki, start_panel, tmp_path):
    (tmp_path / "secret").write_text("a secret of more than thirty-two bytes, for tests")
    async with start_panel(loki.url, secret_file=str(tmp_path / "secret")) as panel:
        headers = {"Authorization": f"Bearer {panel.server.keys.mint(['t1'], seconds=60)}"}
        found = (await panel.get("/api/history", modelName="m", headers=headers))["starts"]
        assert [one["launch"]["traceId"] for one in found] == ["t1"]


@pytest.mark.needs("chromium")
async def test_the_starts_are_a_plot_and_a_table_reached_from_head_and_list(starts, panel, browser):
    async with opened(browser, f"{panel.url}/panel?traceId=t4&locale=en") as page:
        await until(page, IS_LIVE)
        await page.locator(".head").get_by_role("button", name="Starts").click()
        plot = page.get_by_role("img", name="The last 5 starts")
        await plot.wait_for()
        assert (await page.evaluate(texts(".column .version"))) == ["0.31.0", "", "", "", "0.32.0"]
        assert (await page.evaluate(texts(".column .mark"))) == ["", "", "", "✕", "!"]
        bars = page.locator(".column .bar")
        heights = [(await bars.nth(n).locator(".part").last.bounding_box())["height"] for n in (0, 4)]
        assert heights[0] == pytest.approx(heights[1], abs=1), "imports took as long in both"
        loads = [(await bars.nth(n).locator(".part").nth(1).bounding_box())["height"] for n in (0, 4)]
        assert loads[1] / loads[0] == pytest.approx(92 / 40, rel=0.05)
        newest = await page.locator(".numbers tbody tr").first.inner_text()
        cells = [cell.strip() for cell in newest.split("\t")[1:]]
        assert cells == ["h", "0.32.0", "Ready", "1 min 44 s", "+100 % !", "10 s", "1 min 32 s"]
        await page.keyboard.press("Escape")
        await page.keyboard.press("h")
        await page.locator(".numbers a").last.click()
        await until(page, "location.search === '?traceId=t0&launchId=20261122T120000-aaaaaa&locale=en'")
        assert page.wrong == []
    async with opened(browser, f"{panel.url}/panel?locale=zh&q=other") as page:
        await until(page, f"{PANEL} && {texts('.list tbody tr')}.length === 1")
        await page.get_by_role("button", name="历次启动").click()
        await page.get_by_role("img", name="最近 1 次启动").wait_for()
