"""The store gives the recorded answers of a real Loki (tests/data/loki-contract), except for unsupported requests."""

import pytest
from support.recorded_loki import ANY_AGE, CASES, PUSHES, ask, comparable, is_unsupported, parsed
from support.store_process import StoreProcess


@pytest.fixture(scope="module")
def loaded_store(tmp_path_factory):
    """A store that holds the recorded pushes."""
    with StoreProcess(tmp_path_factory.mktemp("contract"), **ANY_AGE) as store:
        for push in PUSHES:
            assert store.push_json(push).status == 204
        yield store


@pytest.fixture(scope="module")
def answers(loaded_store):
    return {case["id"]: ask(loaded_store, case["request"]) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_store_gives_the_recorded_answers_of_loki(answers, case):
    answer = answers[case["id"]]
    if is_unsupported(case):
        assert answer.status in (400, 404)
        assert "Loki does" in answer.text
    else:
        assert answer.status == case["status"]
        if case["status"] == 200:
            assert comparable(parsed(answer.text)) == comparable(case["response"])


def test_the_number_of_unsupported_cases_is_known():
    assert sum(is_unsupported(case) for case in CASES) == 6
    assert len(CASES) == 68
