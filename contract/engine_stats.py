"""Parses the throughput lines that engines print while they are busy.

vLLM, every ten seconds (vllm/v1/metrics/loggers.py):

    Engine 000: Avg prompt throughput: 45.5 tokens/s, Avg generation throughput: 65.8 tokens/s, Running: 1 reqs,
    Waiting: 0 reqs, GPU KV cache usage: 0.0%, Prefix cache hit rate: 0.0%

SGLang, at intervals of decoding steps (scheduler_metrics_mixin.py):

    Decode batch. #running-req: 2, #token: 154, token usage: 0.01, gen throughput (token/s): 73.2, #queue-req: 1

Older engines leave out `Engine 000` or print `Pending` for `Waiting`; newer ones add fields. So fields are found by
their names, and unknown ones are ignored.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_MARKERS = (b"Avg prompt throughput: ", b"gen throughput (token/s): ")
"""Every such line contains one of them, and no other line does; a block without them need not be split into lines."""
STATS_LINE = r"(?:Avg prompt throughput|gen throughput \(token/s\)): "
"""The same as a regular expression of RE2, for queries."""

_LINE_MAX_BYTES = 4096
_ENGINE = re.compile(rb"Engine (\d{1,6}): $")
_BEFORE_BYTES = len(b"Engine 123456: ")
_FIELD = re.compile(rb"((?:#|\b)[A-Za-z][A-Za-z /()#-]{0,40}?): (\d{1,15}(?:\.\d{1,15})?)(%)?")
"""Bounded, because users control parts of what a server prints."""
_NAMES = {
    b"Avg prompt throughput": "prompt_tokens_per_second",
    b"Avg generation throughput": "generation_tokens_per_second",
    b"gen throughput (token/s)": "generation_tokens_per_second",
    b"Running": "requests_running",
    b"#running-req": "requests_running",
    b"Waiting": "requests_waiting",
    b"Pending": "requests_waiting",
    b"#queue-req": "requests_waiting",
    b"GPU KV cache usage": "kv_cache_usage_ratio",
    b"token usage": "kv_cache_usage_ratio",
    b"Prefix cache hit rate": "prefix_cache_hit_ratio",
}
# A CPU build prints only this one; the first engines printed it beside the GPU's, for swapped-out blocks.
_CPU_CACHE = b"CPU KV cache usage"

FIELDS = tuple(dict.fromkeys(_NAMES.values()))


class EngineStats(NamedTuple):
    """One such line: the index of the engine (data parallelism has several per server), and its values by name."""

    engine_index: int
    values: dict[str, float]
    """Some of FIELDS. Ratios are between 0 and 1."""


def find_stats(block: bytes) -> Iterator[EngineStats]:
    """Yield the stats of each such line in a block of whole lines, in order."""
    if not any(marker in block for marker in _MARKERS):
        return
    for line in block.replace(b"\r", b"\n").split(b"\n"):
        if any(marker in line for marker in _MARKERS):
            yield _stats_of(line[:_LINE_MAX_BYTES])


def newest_stats(lines: Sequence[bytes]) -> list[EngineStats]:
    """Return the stats of the last such line of each engine. Older lines are parsed only as far as their engine."""
    newest: dict[int, EngineStats] = {}
    seen: set[bytes] = set()
    for line in reversed(lines):
        at = line.find(_MARKERS[0])
        before = line[max(0, at - _BEFORE_BYTES) : max(0, at)]
        if before not in seen:
            for stats in reversed(list(find_stats(line))):
                seen.add(before)
                newest.setdefault(stats.engine_index, stats)
    return list(newest.values())


def _engine_before(text: bytes) -> int:
    engine = _ENGINE.search(text[-_BEFORE_BYTES:])
    return int(engine[1]) if engine else 0


def _stats_of(line: bytes) -> EngineStats:
    before, prompt, behind = line.partition(_MARKERS[0])
    values: dict[str, float] = {}
    cpu_cache = None
    for name, number, percent in _FIELD.findall(prompt + behind if prompt else line):
        value = float(number) / 100 if percent else float(number)
        if name in _NAMES:
            values[_NAMES[name]] = value
        elif name == _CPU_CACHE:
            cpu_cache = value
    if cpu_cache is not None:
        values.setdefault("kv_cache_usage_ratio", cpu_cache)
    return EngineStats(_engine_before(before if prompt else b""), values)
