"""A client with a state directory of its own."""

import os

import pytest
from support.environment import environment
from support.machine import end_launch

from tracetail.client import Client
from tracetail.contract.record import LaunchDir


@pytest.fixture
def own_environment(tmp_path, monkeypatch):
    """Give this process the environment of a machine on which nothing of tracetail was ever used."""
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in environment(TRACETAIL_STATE_DIR=str(tmp_path / "state"), HOME=str(tmp_path)).items():
        monkeypatch.setenv(name, value)
    yield tmp_path / "state"
    for path in (tmp_path / "state" / "launches").glob("*"):
        end_launch(LaunchDir(path))


@pytest.fixture
def client(own_environment):
    """Return a client of this machine."""
    return Client()
