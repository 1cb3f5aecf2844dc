"""The level of every line of every real log, compared with lists made by reading the logs."""

import json
from pathlib import Path

import pytest
from support.real_lines import STAMPS

from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.times import EngineTimes
from tracetail.contract.logline import render_line
from tracetail.loki import entries

DATA = Path(__file__).parent.parent / "data"
NOW = 1_795_353_130_000_000_000
pytestmark = pytest.mark.usefixtures("either_loops")
MARKS = {"E": ("error", "critical"), "W": ("warning",), "I": ("info", "debug")}
FIELD_STARTS = sorted((DATA / "field-starts").iterdir())
HEALTHY_LOGS = [
    path
    for path in sorted([*(DATA / "engine-logs").iterdir(), *(DATA / "vllm-logs").iterdir()])
    if any(word in path.name for word in ("healthy", "headless", "nnodes", "request-logging", "json-formatter"))
]
LOGS = sorted(path.stem for path in (DATA / "levels").glob("*.txt"))


def lines_of(name: str) -> list[bytes]:
    places = (
        DATA / "vllm-logs" / f"{name}.log",
        DATA / "engine-logs" / f"{name}.log",
        DATA / "field-starts" / name / "log",
    )
    log = next(place for place in places if place.exists())
    return [line.removesuffix(b"\r") for line in log.read_bytes().removesuffix(b"\n").split(b"\n")]


def levels(block: bytes) -> list[str]:
    parser = LineParser(EngineTimes(NOW), HeaderCache())
    return [entries.decode_metadata(meta)["level"] for meta in parser.parse(block, NOW).stream(None).entries.metas]


def kept(*texts: bytes) -> bytes:
    return b"".join(render_line(NOW + i, "t1", "i1", text) for i, text in enumerate(texts))


@pytest.mark.parametrize("name", LOGS)
def test_every_line_of_a_real_log_has_the_level_that_a_reader_gives_it(name: str) -> None:
    wanted = (DATA / "levels" / f"{name}.txt").read_text().split()
    lines = lines_of(name)
    assert len(wanted) == len(lines)
    for found in (levels(kept(*lines)), levels(b"".join(line + b"\n" for line in lines))):
        wrong = [
            (n, line, w, f) for n, (line, w, f) in enumerate(zip(lines, wanted, found, strict=True), 1) if w != f
        ]
        assert not wrong


@pytest.mark.parametrize("case", FIELD_STARTS, ids=lambda case: case.name)
def test_the_levels_of_a_start_that_failed_are_those_that_an_expert_gives(case: Path) -> None:
    lines = [line.removesuffix(b"\r") for line in (case / "log").read_bytes().removesuffix(b"\n").split(b"\n")]
    wanted = json.loads((case / "expected.json").read_text())["levels"]
    found = levels(kept(*lines))
    assert [(n, lines[n], mark, found[n]) for n, mark in wanted if found[n] not in MARKS[mark]] == []


BEHIND_TWO = ("211-", "212-", "516-", "527-", "581-", "626-")
"""Logs whose lines are behind a stamp or a prefix of Ray's already: a stamp more hides where a traceback goes on."""


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
def test_the_levels_are_the_same_behind_what_another_program_puts_in_front_of_every_line(stamp: str) -> None:
    wrong = []
    for case in FIELD_STARTS:
        lines = [line.removesuffix(b"\r") for line in (case / "log").read_bytes().removesuffix(b"\n").split(b"\n")]
        found = levels(kept(*(stamp.encode() + line for line in lines)))
        wanted = json.loads((case / "expected.json").read_text())["levels"]
        wrong += [
            (case.name, n, lines[n], mark, found[n])
            for n, mark in wanted
            if found[n] not in MARKS[mark] and lines[n].strip() and lines[n][:2] != b" E"  # ` ERR`, after a blank
        ]
    assert [one for one in wrong if not one[0].startswith(BEHIND_TWO)] == []


@pytest.mark.parametrize("path", HEALTHY_LOGS, ids=lambda path: path.stem)
def test_no_line_of_a_healthy_server_is_an_error(path: Path) -> None:
    lines = [line.removesuffix(b"\r") for line in path.read_bytes().splitlines()]
    found = levels(kept(*lines))
    wrong = [line for line, level in zip(lines, found, strict=True) if level in MARKS["E"]]
    assert [line for line in wrong if b"died unexpectedly (exit code: -9)" not in line] == []


def test_an_indented_line_continues_the_record_before_it_and_an_unindented_one_is_a_record() -> None:
    assert levels(kept(b"(A pid=1) ERROR 11-22 13:12:10 [a.py:1] bad", b"  more", b"", b"other")) == [
        "error",
        "error",
        "error",
        "info",
    ]


def test_a_traceback_is_error_up_to_its_exception_line_whatever_comes_between() -> None:
    assert levels(
        kept(
            b"Traceback (most recent call last):",
            b'  File "x.py", line 1, in <module>',
            b"(Worker pid=2) INFO 11-22 13:12:10 [w.py:1] fine",
            b"    main()",
            b"ValueError: no",
            b"",
            b"During handling of the above exception, another exception occurred:",
            b"",
            b"Traceback (most recent call last):",
            b"  ...",
            b"KeyError",
            b"next record",
        )
    ) == ["error", "error", "info", *["error"] * 8, "info"]


def test_a_traceback_logged_at_info_is_error_too() -> None:
    head = b"(A pid=1) INFO 11-22 13:12:10 [a.py:1] "
    texts = [b"going on", b"Traceback (most recent call last):", b"  File x", b"ValueError: no", b"going on"]
    assert levels(kept(*(head + text for text in texts))) == ["info", "error", "error", "error", "info"]


def test_tracebacks_of_two_processes_do_not_end_each_other() -> None:
    assert levels(
        kept(
            b"(Worker_TP0 pid=1) Traceback (most recent call last):",
            b"(Worker_TP1 pid=2) Traceback (most recent call last):",
            b'(Worker_TP0 pid=1)   File "x.py"',
            b"(Worker_TP0 pid=1) RuntimeError: one",
            b'(Worker_TP1 pid=2)   File "x.py"',
            b"(Worker_TP1 pid=2) RuntimeError: two",
            b"(Worker_TP1 pid=2) bye",
        )
    ) == [*["error"] * 6, "info"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (b"INFO 11-22 13:12:10 [a.py:1] old vLLM", {"level": "info", "source": "a.py:1"}),
        (
            b"(EngineCore_DP0 pid=9) [traceId=t instanceId=i] WARNING 11-22 13:12:10 [v1/a.py:1] older order",
            {"level": "warning", "process": "EngineCore_DP0", "pid": "9", "source": "v1/a.py:1"},
        ),
        (b"ERROR:    Exception in ASGI application", {"level": "error"}),
        (b"[2026-11-22 13:12:10 TP0] Decode batch", {"level": "info", "process": "TP0"}),
        (
            b"[2026-11-22 13:12:10.123+08:00] [42] [43] [llm] [WARN] [file.cpp:7] : [MIE01] careful",
            {"level": "warning", "process": "llm", "pid": "42", "source": "file.cpp:7"},
        ),
        (b"node1:71:88 [0] NCCL WARN Cuda failure", {"level": "warning", "pid": "71"}),
        (
            b"\x1b[36m(RayWorkerProc pid=4521, ip=127.0.0.3)\x1b[0m   if hasattr(value):",
            {"level": "info", "process": "RayWorkerProc", "pid": "4521", "node": "127.0.0.3"},
        ),
        (b"[rank0]:[W1122 13:13:02.336 x.cpp:1] Warning: y", {"level": "warning", "source": "x.cpp:1"}),
        (b"2026-11-22 13:12:10,123 ERROR worker gone", {"level": "error"}),
        (b'{"level": "error", "msg": "x", "caller": "a.go:1"}', {"level": "error", "source": "a.go:1"}),
        (b"{not json}", {"level": "info"}),
        (
            b"(A pid=1) INFO 11-22 13:12:10 [b.py:2] Received request cmpl-9c25f7f14ed1b183-0: params",
            {
                "level": "info",
                "process": "A",
                "pid": "1",
                "source": "b.py:2",
                "request_id": "cmpl-9c25f7f14ed1b183-0",
            },
        ),
    ],
)
def test_formats_that_engines_print(text: bytes, wanted: dict[str, str]) -> None:
    # Twice, because the second time the header is in the cache.
    parser = LineParser(EngineTimes(NOW), HeaderCache())
    for meta in parser.parse(kept(text, text), NOW).stream(None).entries.metas:
        assert entries.decode_metadata(meta) == wanted


def test_lines_of_engine_statistics_are_returned() -> None:
    sglang = b"[2026-11-22 13:12:10 TP0] Decode batch. #running-req: 1, gen throughput (token/s): 73.2, #queue-req: 0"
    vllm = b"(A pid=1) INFO 11-22 13:12:10 [loggers.py:1] Engine 000: Avg prompt throughput: 45.5 tokens/s"
    other = b"(A pid=1) INFO 11-22 13:12:10 [other.py:1] throughput is everything"
    stats = (
        LineParser(EngineTimes(NOW), HeaderCache()).parse(kept(sglang, vllm, other, sglang), NOW).stream(None).stats
    )
    assert [text for _, text in stats] == [sglang, vllm, sglang]
