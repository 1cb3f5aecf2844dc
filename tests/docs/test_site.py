"""The documentation: it builds without a warning, and says what the code does."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import yaml

from tracetail.cli.main import main
from tracetail.cli.reference import render_reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="needs the extra docs: pip install -e '.[docs]'")
    site = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "NO_MKDOCS_2_WARNING": "1"},
    )
    return run, site


def test_the_site_builds_without_a_warning(site):
    run, _ = site

    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr, run.stderr


def test_pages_load_nothing_from_elsewhere(site):
    _, directory = site
    for page in directory.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8"))
        assert not [url for url in loaded if 'rel="canonical"' not in url], page


def test_links_out_of_the_documentation_are_shown_as_paths():
    specification = importlib.util.spec_from_file_location("hooks", DOCS / "hooks.py")
    hooks = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hooks)

    text = "[store/x.py](../store/x.py) [the units](../deploy/systemd) [a](../faq.md#b) ![i](../i.png)"

    def on(page):
        return hooks.on_page_markdown(text, SimpleNamespace(file=SimpleNamespace(src_uri=page)))

    assert on("zh/index.md") == text
    assert on("index.md") == "`store/x.py` the units (`deploy/systemd`) a (`faq.md#b`) ![i](../i.png)"


@pytest.mark.parametrize(("language", "page"), [("en", "configuration.md"), ("zh", "zh/configuration.md")])
def test_the_configuration_reference_is_that_of_the_code(language, page):
    assert (DOCS / page).read_text("utf-8") == render_reference(language), (
        f"run: python -m tracetail.cli.reference {language} > docs/{page}"
    )


def test_every_alert_has_its_section_in_the_operations_page():
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    for page in ("operations.md", "zh/operations.md"):
        sections = set(re.findall(r"^### (Tracetail\w+)$", (DOCS / page).read_text("utf-8"), re.MULTILINE))
        assert sections == alerts, page


def commands_of(page):
    """Return the lines of a page that are a `tracetail` command, in code or in a block."""
    text = page.read_text("utf-8")
    blocks = "\n".join(re.findall(r"^ *```(?:sh)?\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL))
    blocks += "\n".join(re.findall(r"^(?: {4,}| *\d\. )(?:\S*/)?(tracetail .*)$", text, re.MULTILINE))
    return re.findall(r"`(tracetail [^`\n]+)`", text) + re.findall(
        r"^ *(?:\S*/)?(tracetail .*)$", blocks, re.MULTILINE
    )


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("README*.md")], ids=lambda page: page.name)
def test_every_command_and_option_that_a_page_names_exists(page):
    for line in commands_of(page):
        words = re.sub(r"'[^']*'?|\s#.*", " ", line).split()[1:]
        command, known = main, set()
        for word in words:
            known |= {
                option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]
            }
            known |= {"--help", "--version"}
            if word == "--":  # what follows is the command of another program
                break
            if word.startswith("-") and word != "-":
                assert word.partition("=")[0].rstrip(",;)]") in known, f"{line}: {word}"
            elif isinstance(command, click.Group):
                command = command.get_command(click.Context(command), word.strip(",")) or command
        assert command is not main or not words or words[0].startswith(("-", "…")), line


def test_files_that_the_pages_name_are_there():
    folders = "agent|assistant|bench|cli|client|contract|deploy|docs|examples|launcher|loki|panel|store|testing|tests"
    for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md"), *ROOT.glob("deploy/*/README.md")]:
        for path in re.findall(rf"`((?:{folders})/[\w./@-]+)`", page.read_text("utf-8")):
            assert (ROOT / path).exists() or list(ROOT.glob(path)), f"{page.name}: {path}"


@pytest.mark.parametrize("page", ["index", "installation", "first-launch", "operations", "faq"])
def test_what_a_first_time_user_needs_is_there_in_chinese(page):
    text = (DOCS / "zh" / f"{page}.md").read_text("utf-8")

    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 300
    english = (DOCS / f"{page}.md").read_text("utf-8")
    assert set(re.findall(r"^```(\w+)", text, re.MULTILINE)) <= set(re.findall(r"^```(\w+)", english, re.MULTILINE))
