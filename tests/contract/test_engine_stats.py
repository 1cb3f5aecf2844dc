from pathlib import Path

import pytest

from tracetail.contract.engine_stats import EngineStats, find_stats, newest_stats

LOGS = Path(__file__).parent.parent / "data" / "vllm-logs"


def test_every_stats_line_of_a_real_log_is_read():
    found = list(find_stats((LOGS / "engine-crash.log").read_bytes()))

    assert [stats.values["generation_tokens_per_second"] for stats in found] == [1.4, 31.3, 65.8, 59.9, 0.0]
    assert found[2] == EngineStats(
        0,
        {
            "prompt_tokens_per_second": 45.5,
            "generation_tokens_per_second": 65.8,
            "requests_running": 1.0,
            "requests_waiting": 0.0,
            "kv_cache_usage_ratio": 0.0,
            "prefix_cache_hit_ratio": 0.0,
        },
    )


def test_a_stats_line_inside_json_is_read():
    (stats,) = find_stats((LOGS / "json-formatter.log").read_bytes())

    assert stats.values["generation_tokens_per_second"] == 55.7
    assert stats.values["prefix_cache_hit_ratio"] == 0.0


@pytest.mark.parametrize(
    ("line", "index", "expected"),
    [
        pytest.param(
            b"Engine 003: Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, "
            b"Running: 12 reqs, Waiting: 7 reqs, Preemptions: 2, GPU KV cache usage: 45.5%, "
            b"Prefix cache hit rate: 12.5%, External prefix cache hit rate: 99.0%",
            3,
            {"requests_waiting": 7.0, "kv_cache_usage_ratio": 0.455, "prefix_cache_hit_ratio": 0.125},
            id="data parallel, with fields of a newer engine",
        ),
        pytest.param(
            b"Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, Running: 1 reqs, "
            b"Swapped: 0 reqs, Pending: 4 reqs, GPU KV cache usage: 10.0%, CPU KV cache usage: 90.0%.",
            0,
            {"requests_waiting": 4.0, "kv_cache_usage_ratio": 0.1},
            id="the first engines, with a cache on the GPU and one beside it",
        ),
        pytest.param(
            b"[2026-11-22 13:12:10 TP0] Decode batch. #running-req: 2, #token: 154, token usage: 0.25, "
            b"cuda graph: True, gen throughput (token/s): 73.2, #queue-req: 1, ",
            0,
            {
                "generation_tokens_per_second": 73.2,
                "requests_running": 2.0,
                "requests_waiting": 1.0,
                "kv_cache_usage_ratio": 0.25,
            },
            id="SGLang",
        ),
    ],
)
def test_lines_of_other_versions(line, index, expected):
    (stats,) = find_stats(b"noise\n" + line + b"\nmore noise: 5 reqs\n")

    assert stats.engine_index == index
    assert expected.items() <= stats.values.items()


def test_the_newest_line_of_each_engine_counts():
    line = b"INFO 11-22 13:13:36 [loggers.py:335] Engine %s: Avg prompt throughput: %s tokens/s, Running: 1 reqs"
    lines = [line % (b"000", b"1.0"), line % (b"012", b"2.0"), b"noise", line % (b"000", b"3.0")]
    lines += [b"Engine 001: Avg prompt throughput: 4.0 tokens/s\rEngine 001: Avg prompt throughput: 5.0 tokens/s"]

    newest = {stats.engine_index: stats.values["prompt_tokens_per_second"] for stats in newest_stats(lines)}

    assert newest == {0: 3.0, 1: 5.0, 12: 2.0}


def test_a_line_without_stats_does_not_hide_those_before_it():
    stats = b"[2025-09-13 09:09:15 TP0] Decode batch. #running-req: 4, gen throughput (token/s): 86.11, #queue-req: 0"
    assert newest_stats([stats, b"[2025-09-13 09:09:16 TP0] throughput is measured"]) == newest_stats([stats]) != []


def test_other_lines_hold_no_stats():
    assert list(find_stats(b"Avg generation throughput: 2.0 tokens/s\nRunning: 1 reqs\n")) == []


@pytest.mark.parametrize("padding", [b"a", b"A", b"#a", b"Aa ", b"Engine "])
def test_a_hostile_line_takes_no_longer_than_others(padding):
    # Quadratic in the length this would take minutes.
    line = padding * (256 * 1024 // len(padding)) + b" gen throughput (token/s): 73.2" + padding * 10_000

    assert len(list(find_stats(line))) == 1
