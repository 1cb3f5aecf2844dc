"""The data of the store's benchmark: generated launches of vLLM, encoded as the agent encodes them.

Lines are what a vLLM server prints under load (access lines, request lines, stats lines, a start-up, a traceback now
and then), with times, ids, ports and numbers that differ from line to line, and the metadata that the agent finds.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tracetail.loki.entries import Columns, encode_metadata, encode_request

BATCH_BYTES = 1024 * 1024
ENTRY_BYTES = 20
"""Of an encoded entry, beside its text and metadata."""
START_NS_AGO = 6 * 3600 * 10**9

Line = tuple[int, bytes, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Launch:
    number: int
    lines: int

    @property
    def trace_id(self) -> str:
        return f"bench-{self.number:06d}"

    @property
    def labels(self) -> dict[str, str]:
        return {
            "traceId": self.trace_id,
            "instanceId": str(1_000_000 + self.number),
            "launchId": f"20261122T{self.number % 240000:06d}-{self.number:06x}",
            "service_name": f"model-{self.number % 20}",
            "env": ("test", "dev", "prod")[self.number % 3],
            "engine": "vllm",
            "host": f"gpu-{self.number % 8:02d}",
        }


def launches(count: int, lines: int, largest: int) -> list[Launch]:
    """Return `count` launches of together `lines` lines, the first of which has `largest`."""
    rest = (lines - largest) // (count - 1)
    return [Launch(0, largest)] + [Launch(n, rest) for n in range(1, count)]


def lines_of(launch: Launch, start_ns: int) -> Iterator[Line]:
    """Yield the lines of a launch: time, text, metadata."""
    rng = random.Random(launch.number)
    pid = str(1000 + rng.randrange(50_000))
    server = (("pid", pid), ("process", "APIServer"))
    core = (("pid", str(int(pid) + 137)), ("process", "EngineCore"))
    time_ns = start_ns + launch.number * 1_000_003
    for i in range(launch.lines):
        time_ns += rng.randrange(200_000, 40_000_000)
        clock = f"11-22 {i // 3600000 % 24:02d}:{i // 60000 % 60:02d}:{i // 1000 % 60:02d}"
        kind = rng.random()
        if kind < 0.35:
            text = (
                f"(APIServer pid={pid}) INFO:     10.2.{rng.randrange(256)}.{rng.randrange(256)}:"
                f'{rng.randrange(30000, 60000)} - "POST /v1/chat/completions HTTP/1.1" 200 OK'
            )
            metadata = (("level", "info"), *server)
        elif kind < 0.65:
            request = f"chatcmpl-{rng.getrandbits(128):032x}"
            text = (
                f"(APIServer pid={pid}) INFO {clock} [logger.py:40] Received request {request}: params: "
                f"SamplingParams(n=1, temperature={rng.random():.2f}, top_p=1.0, seed=None, stop=[], "
                f"max_tokens={rng.randrange(1, 4096)}), lora_request: None."
            )
            metadata = (("level", "info"), *server, ("request_id", request), ("source", "logger.py:40"))
        elif kind < 0.85:
            text = (
                f"(APIServer pid={pid}) INFO {clock} [loggers.py:335] Engine 000: Avg prompt throughput: "
                f"{rng.random() * 5000:.1f} tokens/s, Avg generation throughput: {rng.random() * 900:.1f} tokens/s, "
                f"Running: {rng.randrange(64)} reqs, Waiting: {rng.randrange(9)} reqs, GPU KV cache usage: "
                f"{rng.random() * 100:.1f}%, Prefix cache hit rate: {rng.random() * 100:.1f}%"
            )
            metadata = (("level", "info"), *server, ("source", "loggers.py:335"))
        elif kind < 0.995:
            text = (
                f"(EngineCore pid={int(pid) + 137}) DEBUG {clock} [scheduler.py:812] step {i} scheduled "
                f"{rng.randrange(2048)} tokens in {rng.random() * 40:.3f} ms, free blocks {rng.randrange(20000)}"
            )
            metadata = (("level", "debug"), *core, ("source", "scheduler.py:812"))
        else:
            text = f"(EngineCore pid={int(pid) + 137}) ERROR {clock} [core.py:710] CUDA out of memory in step {i}"
            metadata = (("level", "error"), *core, ("source", "core.py:710"))
        yield time_ns, text.encode(), metadata


def batches(launch: Launch, start_ns: int, batch_bytes: int = BATCH_BYTES) -> Iterator[tuple[bytes, int, int]]:
    """Yield push requests (protobuf in snappy, one stream each): body, lines in it, bytes of text in it."""
    columns, size, text = Columns(), 0, 0
    for time_ns, line, metadata in lines_of(launch, start_ns):
        meta = encode_metadata(dict(metadata))
        if size > batch_bytes:
            yield encode_request(launch.labels, [columns.encode()]), len(columns), text
            columns, size, text = Columns(), 0, 0
        columns.add(time_ns, line, meta)
        size += len(line) + len(meta) + ENTRY_BYTES
        text += len(line)
    if len(columns):
        yield encode_request(launch.labels, [columns.encode()]), len(columns), text
