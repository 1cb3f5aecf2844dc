"""One machine per test, with store and agent running."""

import pytest
from support.machine import Machine


@pytest.fixture
def bare_machine(tmp_path):
    """Return a machine on which nothing runs yet."""
    machine = Machine(tmp_path)
    yield machine
    machine.close()


@pytest.fixture
def machine(bare_machine):
    """Return a machine with store and agent."""
    bare_machine.start("store")
    bare_machine.start("agent")
    return bare_machine
