"""The panel in Chinese: every text of its own is translated, in each of its looks."""

import re

import pytest
from support.panel_browser import PANEL
from support.panel_looks import LOOKS, add_history, shown

pytestmark = pytest.mark.needs("chromium")

DATA = (
    ".row .text, .evidence, .errors li *, code, kbd, .title, .facts, .what, td, tbody th[scope=row], .phase, "
    ".launches button, .column, .starts .of, option[value]:not([value=''])"
)
"""What shows text of logs and launches, which is as it is."""
OWN_TEXTS = f"""() => {{
  const root = {PANEL}.shadowRoot;
  const found = [];
  for (const each of root.querySelectorAll('*')) {{
    if (each.closest({DATA!r}) || each.tagName === 'STYLE') continue;
    for (const node of each.childNodes) if (node.nodeType === Node.TEXT_NODE) found.push(node.data);
    for (const name of ['aria-label', 'title', 'placeholder']) found.push(each.getAttribute(name) ?? '');
  }}
  return found.filter(text => text.trim());
}}"""
WORDS = re.compile(r"[A-Za-z]{3,}")
NAMES = {
    "trace",
    "traceId",
    "agent",
    "Loki",
    "loki",
    "token",
    "tokens",
    "JSON",
    "Lines",
    "English",
    "UTC",
    "vLLM",
    "download",
    "none",
    "url",
}
"""Words that Chinese readers of such pages know by these names."""
OF_THE_TEST = re.compile(
    r"Qwen/Qwen2-7B|20261[0-9]{3}T[0-9]+-[0-9a-f]{6}|gpu-[0-9]+|\b(?:test|info|error|warning|debug|imports)\b|Worker_[01]"
)


async def test_every_text_is_translated(loki, panel, browser):
    add_history(loki)
    left = {}
    for look in LOOKS:
        async with shown(browser, panel.url, look, "zh") as page:
            for text in await page.evaluate(OWN_TEXTS):
                words = set(WORDS.findall(OF_THE_TEST.sub("", text))) - NAMES
                if words:
                    left.setdefault(text.strip(), look.name)
    assert left == {}
