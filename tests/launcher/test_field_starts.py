"""Starts that failed in the field: the cause, the line that names it and the hint are those an expert would give.

tests/data/field-starts has them: 42 rebuilt from public reports, the others made with vLLM 0.32, Ray and llama.cpp;
from 200 on, the end of the log that a public report shows, named as its `source`; from 500 on, reports that were
collected to check the diagnosis, and that it had not seen when the rest of it was written; of long
tracebacks the last frames are there. From 774 on the source says which lines were filled in.
"""

import json
import re
import sys
from pathlib import Path

import pytest
from support.real_lines import STAMPS

from tracetail.launcher import engines
from tracetail.launcher.engines.causes.cause import Text
from tracetail.launcher.keeper.diagnosis import diagnose
from tracetail.launcher.keeper.finding import UNRECOGNISED, End, Finding

CASES = Path(__file__).parents[1] / "data" / "field-starts"
NAMES = sorted(path.name for path in CASES.iterdir())
STAGED = [name for number, name in enumerate(NAMES) if int(name.split("-")[0]) < 500 or number % 8 == 0]
"""The cases that are also staged: of the last reports one of eight, since a start takes a second."""


def read_case(name):
    expected = json.loads((CASES / name / "expected.json").read_text())
    ended = expected["exit"]
    end = End(code=ended) if isinstance(ended, int) else End(signal=f"SIG{ended}")
    return expected, end, (CASES / name / "log").read_bytes().split(b"\n")


def judge(expected, found):
    """Return what is wrong with a finding."""
    cause, hint, evidence = (found.text.en, found.hint.en, " ".join(found.evidence)) if found else ("", "", "")
    wrong = [] if any(re.search(one, cause, re.IGNORECASE) for one in expected["cause_any"]) else [f"cause {cause!r}"]
    if (expected.get("evidence") or "") not in evidence:
        wrong.append(f"evidence {evidence!r}")
    return wrong + [f"hint {hint!r}" for one in expected.get("hint") or () if not re.search(one, hint, re.IGNORECASE)]


@pytest.mark.parametrize("name", NAMES)
def test_the_cause_of_a_failed_start_is_named(name):
    expected, end, lines = read_case(name)
    assert judge(expected, diagnose(engines.load(expected["engine"]), lines, end)) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_cause_is_the_same_for_a_custom_command(name):
    expected, end, lines = read_case(name)
    assert judge(expected, diagnose(engines.load("custom"), lines, end)) == []


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_the_cause_is_the_same_behind_what_another_program_puts_in_front_of_every_line(stamp):
    wrong = []
    for name in NAMES:
        expected, end, lines = read_case(name)
        found = diagnose(engines.load(expected["engine"]), [stamp.encode() + line for line in lines], end)
        wrong += [(name, one) for one in judge(expected, found)]
    # torch_npu has its level before its date, so that docker's date is taken for that of its header
    assert [one for one in wrong if "ERR99999" not in one[1] or not stamp.startswith("2025")] == []


def test_without_the_known_causes_nine_of_ten_starts_are_explained_by_the_expected_line():
    missed = []
    for name in NAMES:
        expected, end, lines = read_case(name)
        found = diagnose(engines.load(expected["engine"]), lines, end, known=False)
        line = " ".join([found.text.en, *found.evidence]) if found else ""
        named = expected.get("evidence") or "|".join(expected["cause_any"])
        matches = named in line if expected.get("evidence") else re.search(named, line, re.IGNORECASE)
        if not matches:
            missed.append(name)
        elif found is not None and found.evidence and end.signal is None:
            assert found.kind == UNRECOGNISED or found.consequence or found.own_end
    assert len(missed) <= len(NAMES) // 10, missed


PATTERNS = {"vllm": "*serve*|*api_server*", "sglang": "*launch_server*"}
"""What the engine's own start has among its arguments: other uses of its Python are real ones."""


def stage(world, name, expected, engine, port):
    """Return the parameters, and further variables, of a start whose server prints the log and ends as it did."""
    ended = expected["exit"]
    last = f"kill -{ended} $$" if isinstance(ended, str) else f"exit {ended}"
    body = f"cat '{CASES / name / 'log'}'; sleep 0.3; {last}"
    program, model = world.root / "server", world.root / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "qwen2"}')
    params = {"modelName": "m", "modelPath": str(model), "port": port, "engine": engine, "readyTimeoutSec": 60}
    environ = {}
    if engine == "mindie":
        home = world.root / "mindie"
        (home / "bin").mkdir(parents=True)
        (home / "conf").mkdir()
        models = {"ModelDeployConfig": {"ModelConfig": [{}]}}
        (home / "conf" / "config.json").write_text(json.dumps({"ServerConfig": {}, "BackendConfig": models}))
        program, environ["MIES_INSTALL_PATH"] = home / "bin" / "mindieservice_daemon", str(home)
    elif engine == "custom":
        params |= {"command": [str(program)], "readyWhen": "http"}
    else:
        params["pythonBin"] = str(program)
        body = f'case "$*" in {PATTERNS[engine]}) {body};; *) exec {sys.executable} "$@";; esac'
    program.write_text(f"#!/bin/bash\n{body}\n")
    program.chmod(0o755)
    return params, environ


@pytest.mark.field
@pytest.mark.parametrize("name", STAGED)
def test_a_start_that_failed_in_the_field_is_explained_by_the_launcher(world, free_port, name):
    expected, _, lines = read_case(name)
    params, environ = stage(world, name, expected, expected["engine"], free_port())
    started = world.run("start", "--params", json.dumps(params), environ=environ)
    assert started.status == expected["status"]
    found = started.result
    texts = Finding(
        found["causeCode"], found["causeKind"], Text(found["cause"], ""), Text(found.get("hint", ""), ""), []
    )
    assert judge(expected, texts._replace(evidence=found.get("evidence", []))) == []
    launch = world.launch(found)
    record = world.ended(launch)
    assert [line.rstrip(b"\r") for line in world.output(launch).split(b"\n")] == [
        line.rstrip(b"\r") for line in lines
    ]
    named = {key: record["exit"].get(key) for key in ("cause", "causeCode", "causeKind", "causeZh")}
    assert named == {key: found.get(key) for key in named}
    last = [event for event in world.events(launch) if event.name == "exited"][-1]
    assert {key: last.fields.get(key) for key in named} == named
