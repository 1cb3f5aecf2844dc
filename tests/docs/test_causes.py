"""The pages of known causes are complete and in step with the tables."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("language", "page"), [("en", "docs/causes.md"), ("zh", "docs/zh/causes.md")])
def test_the_page_of_causes_is_generated(language, page):
    found = importlib.util.spec_from_file_location("causes", ROOT / "docs" / "causes.py")
    assert found is not None
    assert found.loader is not None
    script = importlib.util.module_from_spec(found)
    found.loader.exec_module(script)
    assert (ROOT / page).read_text(encoding="utf-8") == script.render(language), "run: python docs/causes.py"


def test_every_code_in_the_launcher_is_on_the_page():
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/causes.md").read_text(encoding="utf-8"), re.MULTILINE))
    given = {
        code
        for path in ("keeper/exit_reason.py", "keeper/readiness.py", "operations/model_files.py", "result.py")
        for code in re.findall(
            r"(?:Problem\(\s*|Finding\(|code=|_PROBLEM, |: )\"([a-z]+(?:_[a-z]+)+)\"",
            (ROOT / "launcher" / path).read_text(encoding="utf-8"),
        )
    }
    assert {"not_in_foreground", "shards_missing", "preflight_failed"} <= given
    assert given <= listed
