"""Starts that failed in the field: the cause, the line that names it and the hint are those an expert would give.

tests/data/field-starts has them: 42 rebuilt from public reports, the others made with vLLM 0.32, Ray and llama.cpp.
"""

import json
import re
from pathlib import Path

import pytest

from tracetail.launcher import engines
from tracetail.launcher.keeper.diagnosis import diagnose
from tracetail.launcher.keeper.finding import UNRECOGNISED, End

CASES = Path(__file__).parents[1] / "data" / "field-starts"
NAMES = sorted(path.name for path in CASES.iterdir())


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
            assert found.kind == UNRECOGNISED or found.code.endswith(("_failed", "_died"))
    assert len(missed) <= len(NAMES) // 10, missed
