"""Every page of the documentation is there in English and in Chinese, with the same headings, code and pictures."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FOR_CONTRIBUTORS = {"architecture.md", "modules.md"}
"""In English only: pages about the code, whose names, docstrings and comments are English."""
TWINS = {
    "README.md": "README.zh-CN.md",
    "deploy/vector/README.md": "deploy/vector/README.zh-CN.md",
    "examples/test-platform-spring/README.md": "examples/test-platform-spring/README.zh-CN.md",
    **{
        f"docs/{page.name}": f"docs/zh/{page.name}"
        for page in sorted(DOCS.glob("*.md"))
        if page.name not in FOR_CONTRIBUTORS
    },
}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
ENGLISH_SENTENCE = re.compile(r"(?:\b[A-Za-z][a-z]+\b[ ,]+){7}")
"""Seven English words in a row: more than a name, a message or an option."""


def read(path):
    return (ROOT / path).read_text("utf-8")


def without_code(text):
    """Return a page without blocks of code, and with nothing in place of `code`."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`]*`", "", text)


def headings(text):
    return [
        len(marks)
        for marks in re.findall(
            r"^(#+) ", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
        )
    ]


def test_no_page_is_in_one_language_only():
    missing = [f"{page} has no {twin}" for page, twin in TWINS.items() if not (ROOT / twin).exists()]
    alone = [page.name for page in (DOCS / "zh").glob("*.md") if not (DOCS / page.name).exists()]
    assert missing + alone == []


@pytest.mark.parametrize("page", TWINS)
def test_the_twins_have_the_same_headings(page):
    """A section that was added to one of them is found by its heading."""
    assert headings(read(page)) == headings(read(TWINS[page]))


@pytest.mark.parametrize("page", TWINS)
def test_the_twins_show_the_same_pictures_and_as_many_examples(page):
    english, chinese = read(page), read(TWINS[page])
    pictures = re.compile(r"!\[[^\]]*\]\((?:\.\./)*([^)]+)\)")
    assert [name.replace("-zh.", ".") for name in pictures.findall(english)] == [
        name.replace("-zh.", ".") for name in pictures.findall(chinese)
    ]
    assert len(re.findall(r"^```", english, re.MULTILINE)) == len(re.findall(r"^```", chinese, re.MULTILINE))


@pytest.mark.parametrize("page", TWINS.values())
def test_a_chinese_page_is_chinese(page):
    sentences = [line for line in without_code(read(page)).splitlines() if ENGLISH_SENTENCE.search(line)]
    assert [line for line in sentences if not CHINESE.search(line)] == []


@pytest.mark.parametrize("page", TWINS)
def test_the_twins_name_the_same_options_and_variables(page):
    """An option that was added to one of them is found by its name."""
    named = re.compile(r"(?<![\w-])--[a-z][a-z-]+[a-z]|\bTRACETAIL_[A-Z_]+|\b[a-z]+(?:_[a-z]+)+\b")
    english, chinese = set(named.findall(read(page))), set(named.findall(read(TWINS[page])))
    assert sorted(english ^ chinese) == []
