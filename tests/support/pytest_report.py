"""A report of pytest-html with the lines of a server: a stranger's two tests, for a picture."""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from support.red_run_stage import Stage

_SERVER = Path(__file__).with_name("request_server.py")
_FAILED = Path(__file__).parents[1] / "data" / "field-starts" / "117-vllm032-kv-too-large" / "log"
_CONFTEST = f"""
import pytest

@pytest.fixture(scope="session")
def inference_server_params():
    return {{"model_name": "qwen3-8b", "command": [{sys.executable!r}, {str(_SERVER)!r}, "{{port}}"]}}
"""
_TESTS = f"""
import pytest

def test_a_long_prompt_is_answered(inference_client):
    answer = inference_client.post("/v1/completions", {{"prompt": "fail"}})
    assert answer.status == 200

@pytest.mark.inference_server(
    model_name="qwen3-72b",
    command=["sh", "-c", "cat {_FAILED}; exit 1"],
    ready_when="log:never",
)
def test_a_larger_context(inference_client):
    assert inference_client.get("/v1/models").status == 200
"""
_PLUGINS = ("tracetail.testing.plugin", "pytest_metadata.plugin", "pytest_html.plugin")


def write_report(machine: Stage, directory: Path) -> Path:
    """Run the tests on a machine with a panel, and return the report."""
    (directory / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    (directory / "test_model.py").write_text(_TESTS, encoding="utf-8")
    (directory / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    report = directory / "report.html"
    words = [word for plugin in _PLUGINS for word in ("-p", plugin)]
    subprocess.run(
        [sys.executable, "-m", "pytest", *words, f"--html={report}", "--self-contained-html"],
        cwd=directory,
        env={**machine.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    return report


async def photograph(machine: Stage, browser: Browser, picture: Path) -> None:
    """Write the picture of the report."""
    with tempfile.TemporaryDirectory(prefix="tracetail-report-") as directory:
        report = write_report(machine, Path(directory))
        page = await browser.new_page(viewport={"width": 1280, "height": 1100})
        await page.goto(report.as_uri())
        await page.wait_for_selector("text=evidence: ")
        for log in await page.query_selector_all(".logexpander"):
            await log.click()
        await page.screenshot(path=picture)
        await page.close()
