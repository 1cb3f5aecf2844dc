"""What a Loki of August 2026 (main, after 3.8.0), with low limits, answered to what exceeds them."""

import json
from pathlib import Path

from tracetail.loki.answers import PushAnswer, Verdict, is_outcome_unknown, rate_limit, verdict
from tracetail.loki.entries import Entry, encode_metadata
from tracetail.loki.query_limits import QueryLimits
from tracetail.loki.refusals import refusals_of

DATA = Path(__file__).parents[1] / "data" / "loki-contract" / "refusals.json"
RECORDED = {case["case"]: case for case in json.loads(DATA.read_text(encoding="utf-8"))}
REFUSED = {"too long": [1, 2], "old and new": [0, 1, 3], "metadata": [0], "behind": [0, 1]}
"""By case: the indexes of the entries that were refused."""


def test_refused_entries_are_determined_from_the_text():
    for name, expected in REFUSED.items():
        case = RECORDED[name]
        meta = encode_metadata({str(number): "1" for number in range(case["metadata"])})
        entries = [Entry(time_ns, b"x" * size, meta) for time_ns, size in case["entries"]]
        found = refusals_of(case["text"], entries)
        assert found is not None, name
        assert [index for index, entry in enumerate(entries) if entry.time_ns in found.reasons] == expected, name
        assert not found.unknown, name
        assert verdict(PushAnswer(case["status"], case["text"], 0)) is Verdict.SOME_REFUSED


def test_labels_are_refused_as_a_whole():
    case = RECORDED["labels"]
    assert verdict(PushAnswer(case["status"], case["text"], 0)) is Verdict.ALL_REFUSED


def test_a_limit_of_a_stream_lets_a_part_through():
    case = RECORDED["stream rate"]
    limit = rate_limit(case["text"])
    assert is_outcome_unknown(PushAnswer(case["status"], case["text"], 0))
    assert limit is not None
    assert (limit.limit, limit.of_stream) == (1024, True)


def test_limits_of_queries_are_learned():
    limits = QueryLimits()
    assert limits.learn(RECORDED["query entries"]["text"])
    assert limits.learn(RECORDED["query length"]["text"])
    assert not limits.learn(RECORDED["query length"]["text"])
    assert (limits.entries, limits.length_ns) == (1000, 86_400 * 1_000_000_000)
