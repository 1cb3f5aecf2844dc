"""`tracetail history`: the seconds of starts and of their phases, and which start took notably longer."""

import json

import pytest
from click.testing import CliRunner
from support.launch_records import write_launch

from tracetail.cli.main import main

VLLM = (
    "(EngineCore pid=71) INFO 11-22 13:12:10 [core.py:89] Initializing a V1 LLM engine (v{}) with config: model='m'"
)
"""As vLLM 0.11 to 0.32 print it."""


@pytest.fixture
def starts(state_dir):
    """Write four starts of one model, of which the last, of a newer version, took longer, and one that failed."""
    for number, (version, load) in enumerate(
        [("0.11.0", 40.0), ("0.11.0", 44.0), ("0.11.0", 42.0), ("0.12.0", 88.0)]
    ):
        launch_id = f"20261122T12000{number}-aaaaaa"
        log = state_dir / f"{launch_id}.log"
        stamp = f"2026-11-22T12:00:0{number}.123456789+00:00 [traceId=t1 instanceId=i1] "
        log.write_text(stamp + VLLM.format(version) + "\n")
        phases = [{"name": "model loaded", "seconds": load}, {"name": "graphs captured", "seconds": 8.0}]
        write_launch(
            state_dir,
            launch_id,
            state="stopped",
            engine="vllm",
            modelName="qwen",
            phases=phases,
            startedAt="2026-11-22T12:00:00+00:00",
            readyAt=f"2026-11-22T12:0{int(load + 8) // 60}:{int(load + 8) % 60:02d}+00:00",
            segments=[str(log)],
        )
    write_launch(state_dir, "20261122T130000-bbbbbb", modelName="other", phases=[])


def history(*words):
    run = CliRunner().invoke(main, ["history", *words])
    assert run.exit_code == 0, run.output
    return run.output


def test_a_start_that_took_longer_is_marked_with_its_version_and_the_phase_is_seen(starts):
    head, newest, *older = history("--model", "qwen").splitlines()
    assert head.split() == [
        "LAUNCHID",
        "VERSION",
        "STATE",
        "READY",
        "CHANGE",
        "MODEL",
        "LOADED",
        "GRAPHS",
        "CAPTURED",
    ]
    assert newest.split() == ["20261122T120003-aaaaaa", "0.12.0", "stopped", "96.0", "+92%", "!", "88.0", "8.0"]
    assert older[0].split() == ["20261122T120002-aaaaaa", "0.11.0", "stopped", "50.0", "+0%", "42.0", "8.0"]
    assert len(older) == 3


def test_of_several_models_each_start_has_its_own(starts):
    failed, newest, *_ = history("-n", "2").splitlines()[1:]
    assert failed.split() == ["20261122T130000-bbbbbb", "test/other", "failed"]
    assert newest.split()[1] == "test/qwen"


def test_programs_get_all_of_it(starts):
    newest = json.loads(history("--model", "qwen", "--json"))[0]
    assert newest["versions"] == {"vLLM": "0.12.0"}
    assert newest["readySeconds"] == 96
    assert newest["change"] == 0.92
    assert newest["phases"] == {"model loaded": 88.0, "graphs captured": 8.0}


@pytest.mark.parametrize("kind", ["path", "link"])
def test_no_line_is_read_of_a_file_that_a_record_names_as_its_segment(state_dir, tmp_path, kind):
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    named = outside / "secret.log"
    stamp = "2026-11-22T12:00:00.123456789+00:00 [traceId=t1 instanceId=i1] "
    named.write_text(stamp + VLLM.format("of-a-secret-file") + "\n")
    if kind == "link":
        state_dir.mkdir(exist_ok=True)
        (state_dir / "link.log").symlink_to(named)
        named = state_dir / "link.log"
    write_launch(state_dir, "20261122T130000-bbbbbb", engine="vllm", segments=[str(named)])
    assert json.loads(history("--json"))[0]["versions"] == {}
    assert "secret" not in history("--phases")


def test_segments_beneath_the_configured_roots_are_read(state_dir, tmp_path, monkeypatch):
    named = tmp_path / "elsewhere" / "env" / "m.log"
    named.parent.mkdir(parents=True)
    named.write_text("2026-11-22T12:00:00.123456789+00:00 [traceId=t1 instanceId=i1] " + VLLM.format("0.11.0") + "\n")
    write_launch(state_dir, "20261122T130000-bbbbbb", engine="vllm", segments=[str(named)])
    monkeypatch.setenv("TRACETAIL_AGENT_LOG_ROOTS", str(tmp_path / "elsewhere"))
    assert json.loads(history("--json"))[0]["versions"] == {"vLLM": "0.11.0"}
