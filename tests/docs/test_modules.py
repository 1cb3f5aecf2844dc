"""The list of modules: complete, and without modules that are gone."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("agent", "assistant", "cli", "client", "contract", "launcher", "loki", "panel", "store", "testing")


def listed():
    page = (ROOT / "docs/modules.md").read_text("utf-8")
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", page, re.MULTILINE))


def test_the_list_of_modules_names_every_module_and_no_other():
    files = [path for part in PARTS for end in ("py", "pyx", "js") for path in (ROOT / part).rglob(f"*.{end}")]
    names = {str(path.relative_to(ROOT)) for path in files if "vendor" not in path.parts}
    wanted = {name.replace("__init__.py", "") for name in names} - {f"{part}/" for part in PARTS}

    assert set(listed()) == wanted, "run: python docs/modules.py > docs/modules.md"


def test_every_module_says_what_it_is():
    assert not [name for name, about in listed().items() if len(about) < 10]
