"""What the pages are made of."""

import re
from pathlib import Path

from tracetail.panel import server

STATIC = Path(server.__file__).parent / "static"
MODULES = {path.relative_to(STATIC).as_posix() for path in STATIC.glob("component/*.js")} | {
    path.relative_to(STATIC).as_posix() for path in STATIC.glob("vendor/virtual-core/*.js")
}


def test_the_pages_name_every_module_so_that_a_browser_fetches_them_at_once():
    for page in ("panel.html", "embed.html"):
        text = (STATIC / page).read_text(encoding="utf-8")
        assert set(re.findall(r'modulepreload" href="/static/([^"]+)"', text)) == MODULES


def test_nothing_is_fetched_from_elsewhere_and_no_text_becomes_html():
    for path in [*STATIC.glob("*.js"), *STATIC.glob("component/*.js")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path
        )
        assert not re.search(r"""from\s+["'](?!\.)""", text), path


def test_both_languages_say_the_same_things():
    text = (STATIC / "component/messages.js").read_text(encoding="utf-8")
    english, chinese = re.findall(r"const (?:ENGLISH|CHINESE) = \{\n(.*?)\n\};", text, re.DOTALL)
    names = [re.findall(r"^ {2}(\w+):", part, re.MULTILINE) for part in (english, chinese)]
    assert names[0] == names[1]
    assert english.count('["') == chinese.count('["')


def test_the_page_of_keys_names_every_key_that_does_something():
    names = {"↓": "ArrowDown", "↑": "ArrowUp", "PgDn": "PageDown", "PgUp": "PageUp", "Esc": "Escape", "Space": " "}
    messages = (STATIC / "component/messages.js").read_text(encoding="utf-8")
    english = re.findall(r"const ENGLISH = \{\n(.*?)\n\};", messages, re.DOTALL)[0]
    told = [key for keys in re.findall(r'^ {4}\["([^"]+)",', english, re.MULTILINE) for key in keys.split(" ")]
    shortcuts = (STATIC / "component/shortcuts.js").read_text(encoding="utf-8")
    actions = shortcuts.partition("const actions = {")[2].partition("  };")[0]
    done = [a or b for a, b in re.findall(r'(?:^ {4}|, )(?:"([^"]+)"|(\w+)): (?=\(\)|level)', actions, re.MULTILINE)]
    assert sorted(names.get(key, key) for key in told) == sorted(done)
