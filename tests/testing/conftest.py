"""A repository of a stranger: a conftest.py and tests, which pytest runs in a process of its own."""

import os
import sys
from pathlib import Path

import pytest
from support.environment import environment
from support.machine import end_launch

from tracetail.client import Client
from tracetail.contract.record import LaunchDir

SERVER = Path(__file__).parents[1] / "support" / "request_server.py"
CONFTEST = f"""
import pytest

@pytest.fixture(scope="session")
def inference_server_params():
    return {{"model_name": "m", "command": [{sys.executable!r}, {str(SERVER)!r}, "{{port}}"]}}
"""
PLUGINS = ("-p", "tracetail.testing.plugin", "-p", "xdist.plugin")


class Repository:
    """Tests of a stranger."""

    def __init__(self, pytester, state):
        self._pytester = pytester
        self._state = state
        self.path = pytester.path

    def write(self, tests, conftest=CONFTEST, ini=""):
        self._pytester.makeconftest(conftest)
        self._pytester.makepyfile(test_model=tests)
        self._pytester.makeini(f"[pytest]\n{ini}")

    def run(self, *words):
        """Run pytest without the plugins that tests of this repository use, which cost seconds."""
        return self._pytester.runpytest_subprocess(*PLUGINS, "-rA", *words)

    def launches(self):
        return Client(panel_url="", state_dir=self._state).find()


@pytest.fixture
def repository(pytester, tmp_path, monkeypatch):
    """Return a repository; what its tests leave running is ended."""
    state = tmp_path / "state"
    for name in list(os.environ):
        monkeypatch.delenv(name)
    own = environment(TRACETAIL_STATE_DIR=str(state), HOME=str(tmp_path), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    own.pop("PYTEST_ADDOPTS", None)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    yield Repository(pytester, state)
    for path in (state / "launches").glob("*"):
        end_launch(LaunchDir(path))
