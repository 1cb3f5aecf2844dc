"""The store answers what a real Loki answered (tests/data/loki-contract), but for what it says it cannot do."""

import pytest
from support.recorded_loki import ANY_AGE, CASES, PUSHES, ask, comparable, is_unsupported, parsed
from support.store_process import StoreProcess


@pytest.fixture(scope="module")
def loaded_store(tmp_path_factory):
    """A store into which the recorded pushes were pushed, and which then answered all cases in order."""
    with StoreProcess(tmp_path_factory.mktemp("contract"), **ANY_AGE) as store:
        for push in PUSHES:
            assert store.push_json(push).status == 204
        yield store


@pytest.fixture(scope="module")
def answers(loaded_store):
    return {case["id"]: ask(loaded_store, case["request"]) for case in CASES}


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
