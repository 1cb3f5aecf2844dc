"""The panel by axe-core: roles, names and contrast, in each of its looks. `-s` prints the violations of each page."""

import importlib.resources

import pytest
from support.panel_looks import LOOKS, add_history, shown

pytestmark = pytest.mark.needs("chromium")

AXE = importlib.resources.files("axe_playwright_python") / "axe.min.js"


@pytest.mark.parametrize("locale", ["en", "zh"])
async def test_axe_finds_nothing(loki, panel, browser, locale):
    add_history(loki)
    described = []
    for look in LOOKS:
        async with shown(browser, panel.url, look, locale) as page:
            await page.evaluate(AXE.read_text(encoding="utf-8"))
            found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        violations = [
            f"{look.name}: {one['id']}: {one['help']} ({node['target']}: {node['failureSummary']})"
            for one in found["violations"]
            for node in one["nodes"]
        ]
        print(f"{look.name} ({locale}): {len(found['violations'])} violations of {len(found['passes'])} rules")
        described += violations
    assert described == [], "\n".join(described)
