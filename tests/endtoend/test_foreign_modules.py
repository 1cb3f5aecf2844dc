"""No process that tracetail starts imports the user's own modules, though they have the names of its packages."""

import json
import sys
import urllib.request
from pathlib import Path

import pytest
from support.callback_receiver import Receiver
from support.waiting import wait_for

import tracetail

COUNT_LINES = Path(__file__).with_name("count_lines.py")
NAMES = sorted(path.name for path in Path(tracetail.__file__).parent.iterdir() if (path / "__init__.py").exists())


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Put such modules and packages first on the path and into the working directory.

    Returns the file that the name of each one that is imported is written to; the import fails besides.
    """
    directory, notes = tmp_path / "own", tmp_path / "imported"
    directory.mkdir()
    for number, name in enumerate(NAMES):
        code = f"open({str(notes)!r}, 'a').write({name!r})\nraise ImportError('the user has a module {name}')\n"
        path = directory / (f"{name}.py" if number % 2 else f"{name}/__init__.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    monkeypatch.chdir(directory)
    monkeypatch.setenv("PYTHONPATH", str(directory))
    return notes


def test_the_whole_chain_runs_beside_modules_of_the_same_names(imported, bare_machine, tmp_path):
    assert {"agent", "cli", "launcher", "panel"} <= set(NAMES)
    assert bare_machine.environ["PYTHONPATH"] == str(Path.cwd())
    receiver = Receiver()
    try:
        for part in ("store", "agent", "panel"):
            bare_machine.start(part)
        command = [sys.executable, str(COUNT_LINES), "20", "1000"]
        started = bare_machine.launch(
            command, modelName="m", traceId="t-1", readyWhen="log:line 19", callbackUrl=receiver.url
        )
        wait_for(lambda: receiver.events() == ["ready"], "the callback")
        url = f"{bare_machine.addresses['panel']}/api/logs?traceId=t-1"

        def shown():
            with urllib.request.urlopen(url, timeout=30) as answer:
                return [line["text"] for line in json.load(answer)["lines"]]

        wait_for(lambda: any("line 19 of many" in text for text in shown()), "the last line in the panel")
        stopped = bare_machine.tracetail("stop", "--launch", started["launchId"])
        assert stopped.returncode == 0, stopped.stderr
        wait_for(lambda: receiver.events() == ["ready", "stopped"], "the callback of the end")
    finally:
        receiver.close()
    assert not imported.exists(), imported.read_text()
