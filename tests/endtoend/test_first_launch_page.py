"""The page about the first launch without a GPU, followed literally in an empty directory."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.environment import environment, free_port, guarded

DOCS = Path(__file__).parents[2] / "docs"
ENGLISH, CHINESE = DOCS / "first-launch.md", DOCS / "zh/first-launch.md"
HEADING = re.compile(r"^## (?:Without a GPU|没有 GPU)", re.MULTILINE)


def blocks(page):
    """Return the commands of the section, and the lines that it shows of the failed start."""
    text = page.read_text("utf-8")
    section = text[HEADING.search(text).start() :].split("\n## ")[0]
    found = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    commands = [line for kind, block in found if kind == "sh" for line in block.splitlines()]
    return commands, next(block for kind, block in found if not kind).splitlines()


@pytest.fixture
def variables(tmp_path):
    """Return the environment of a person on a machine where other things run: a state directory and free ports."""
    listens = {f"TRACETAIL_{part}_LISTEN": f"127.0.0.1:{free_port()}" for part in ("STORE", "AGENT", "PANEL")}
    state = str(tmp_path / "state")
    own = {"TRACETAIL_STATE_DIR": state, "TRACETAIL_AGENT_STATE_DIRS": state, "TRACETAIL_LANG": "en"}
    return guarded(environment(**listens, **own, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}"))


def test_both_pages_have_the_same_commands():
    assert blocks(ENGLISH)[0] == blocks(CHINESE)[0]


@pytest.mark.field
def test_the_page_works_as_it_stands(tmp_path, variables):
    (up, *commands), shown = blocks(ENGLISH)
    directory = tmp_path / "empty"
    directory.mkdir()
    port = str(free_port())
    printed = {}

    def followed(command, **more):
        words = ["bash", "-c", command.replace("8000", port)]
        done = subprocess.run(
            words, cwd=directory, env=variables | more, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == (10 if "broken" in command else 0), (command, done.stdout, done.stderr)
        return done.stdout

    running = subprocess.Popen(up.split(), cwd=directory, env=variables, stdout=subprocess.PIPE, text=True)
    stop = threading.Timer(120, running.kill)
    stop.start()
    try:
        assert any(line.startswith("Ready.") for line in running.stdout)
        for command in commands:
            printed[command] = followed(command)
        broken = next(command for command in commands if "broken" in command)
        in_chinese = followed(broken, TRACETAIL_LANG="zh")
    finally:
        running.terminate()
        running.wait(30)
        running.stdout.close()
        stop.cancel()
    assert [line for line in shown if line not in printed[broken].splitlines()] == []
    assert [line for line in blocks(CHINESE)[1] if line not in in_chinese.splitlines()] == []
    assert "Serving HTTP" in printed["tracetail logs hello"]
    assert "test/hello" in printed["tracetail ps"]
    address = r"^http://127\.0\.0\.1:\d+/panel\?launchId=.*#token="
    assert re.search(address, printed["tracetail open hello --print"], re.MULTILINE)
    assert list(directory.iterdir()) == []
