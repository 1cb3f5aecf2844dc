"""The store answers what a real Loki answered (tests/data/loki-contract), but for what it says it cannot do."""

import json
from pathlib import Path

import pytest
from support.store_process import StoreProcess

DATA = Path(__file__).parents[1] / "data" / "loki-contract"
CASES = json.loads((DATA / "cases.json").read_text())
UNSUPPORTED = (
    "unwrap",
    "quantile_over_time",
    "topk",
    "| pattern",
    "line_format",
    "/format_query",
    "/detected_",
    "/index/",
)
ANY_AGE = {"reject_older_than_days": 0, "reject_newer_than_minutes": 0, "retention_days": 0}


@pytest.fixture(scope="module")
def loaded_store(tmp_path_factory):
    """A store into which the recorded pushes were pushed, and which then answered all cases in order."""
    with StoreProcess(tmp_path_factory.mktemp("contract"), **ANY_AGE) as store:
        for push in json.loads((DATA / "pushes.json").read_text()):
            assert store.push_json(push).status == 204
        yield store


@pytest.fixture(scope="module")
def answers(loaded_store):
    return {case["id"]: ask(loaded_store, case["request"]) for case in CASES}


def ask(store, request):
    return store.call(
        request["method"],
        request["path"],
        request.get("params"),
        body=request.get("body"),
        headers=request.get("headers"),
    )


def is_unsupported(case):
    asked = case["request"]["path"] + " " + str(case["request"].get("params", {}).get("query", ""))
    return any(word in asked for word in UNSUPPORTED)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_store_answers_as_loki_did(answers, case):
    answer = answers[case["id"]]
    if is_unsupported(case):
        assert answer.status in (400, 404)
        assert "Loki does" in answer.text
    else:
        assert answer.status == case["status"]
        if case["status"] == 200:
            assert comparable(parsed(answer.text)) == comparable(case["response"])


def test_only_the_unsupported_cases_differ():
    assert sum(is_unsupported(case) for case in CASES) == 6
    assert len(CASES) == 68


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def comparable(answer):
    """Return an answer without what may differ: the order of results and labels, stats, detected_level."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(data, list):
        return sorted(json.dumps(item, sort_keys=True) for item in data)
    if not isinstance(data, dict):
        return answer
    kind, result = data["resultType"], data["result"]
    if kind == "streams":
        # The order of entries with the same time in one stream counts.
        return kind, sorted((labels_of(s["stream"]), *v) for s in result for v in s["values"])
    return kind, sorted((labels_of(s["metric"]), json.dumps(s.get("values") or s.get("value"))) for s in result)


def labels_of(labels):
    return sorted((name, value) for name, value in labels.items() if name != "detected_level")
