"""What the READMEs point at is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_every_link_picture_and_directory_of_the_readme_exists(name):
    text = (ROOT / name).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    directories = re.findall(r"`((?:deploy|docs|bench)/[\w/.-]*)`", text)
    assert len(links) > 5
    missing = [path for path in [*links, *directories] if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_every_make_target_of_the_readme_exists(name):
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in re.findall(r"\bmake ([a-z][a-z-]+)", (ROOT / name).read_text("utf-8")):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_no_page_installs_from_where_it_is_not_published():
    """`pip install 'tracetail[x]'` adds what an extra needs to a tracetail that is there; without one it fails."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
    by_name = re.compile(r"(?:pip|pipx|uv pip|uv tool) install (?:-\S+ )*['\"]?tracetail['\"]?(?![-\w\[])")
    assert [
        (page.name, line) for page in pages for line in page.read_text("utf-8").splitlines() if by_name.search(line)
    ] == []
