"""A keeper beside which another version is installed while its server runs: it cannot import that one's modules."""

import sys

import pytest

from tracetail.launcher import engines, keeper, machine
from tracetail.launcher.keeper import diagnosis_process, exit_reason, port_holder
from tracetail.launcher.keeper.child import Child

OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. key=ours-12345678"


@pytest.fixture
def segment(tmp_path):
    path = tmp_path / "m.log"
    stamp = "2026-11-28T19:00:00.000000001+08:00 [traceId=t instanceId=i]"
    path.write_text(f"{stamp} {OUT_OF_MEMORY}\n")
    return str(path)


@pytest.fixture
def other_version(monkeypatch):
    """Imports of what is not loaded yet fail, as they do where a name of the other version is missing."""
    monkeypatch.setitem(sys.modules, "tracetail.launcher.keeper.diagnosis", None)
    monkeypatch.setitem(sys.modules, "tracetail.launcher.machine.ports", None)
    monkeypatch.delattr(keeper, "diagnosis", raising=False)
    monkeypatch.delattr(machine, "ports", raising=False)


@pytest.mark.usefixtures("other_version")
def test_the_cause_is_found_by_the_version_that_is_installed(segment):
    redaction = {"extra": [r"ours-\d+"], "keep": []}
    found = exit_reason.diagnose(engines.load("vllm"), [segment], Child(), None, 8000, redaction)
    assert (found.code, found.text.zh) == ("gpu_out_of_memory", "GPU 显存已满（尝试分配 2.00 GiB）")
    (evidence,) = found.evidence
    assert "ours-12345678" not in evidence


@pytest.mark.usefixtures("other_version")
def test_who_holds_the_port_is_then_not_known():
    launch = {"port": 8000, "engine": "vllm", "launchId": "20261122T120000-aaaaaa"}
    assert port_holder.describe_foreign_listener(launch, "") == port_holder.NO_TEXT
    assert port_holder.describe_holder(launch, "") == port_holder.NO_TEXT


def test_a_version_that_answers_nothing_costs_the_cause_alone(segment, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    redaction = {"extra": [], "keep": []}
    assert diagnosis_process.diagnose("vllm", [segment], exit_reason.NO_END, redaction) is None
