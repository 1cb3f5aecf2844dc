"""What Vector ships and what the agent ships of the same log is the same, entry by entry."""

from collections import Counter
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn
from support.agent_process import AgentProcess, Launch
from support.real_lines import REAL_LINES
from support.vrl import PROGRAM, Remap, vrl_header_lines

from tracetail.contract.engine_lines import split_header
from tracetail.contract.logline import parse_line

LOGS = sorted((Path(__file__).parents[1] / "data" / "vllm-logs").glob("*.log"))
ODD = [
    "",
    "   indented",
    "\ttabbed",
    "plain words",
    "[rank0]: Traceback (most recent call last):",
    "(Worker_TP0 pid=12) [traceId=t9 instanceId=i9] ERROR 11-22 13:12:10 [w.py:7] Request cmpl-0a1b2c3d4e5f fails",
    "\x1b[1;36m(EngineCore_DP0 pid=9)\x1b[0;0m DEBUG 11-22 13:12:10 [core.py:1] text",
    *(real["line"] for real in REAL_LINES),
    "INFO 11-22 13:12:10 [core.py:1]",
    "Fatal Python error: Segmentation fault",
    "[2026-11-22 13:12:10 TP0] Scheduler hit an exception: Traceback (most recent call last):",
    "INFO 11-22 13:12:10 [core.py:1] Traceback (most recent call last):",
    "RuntimeError: without a traceback",
    "/opt/x.py:24: DeprecationWarning: old",
    '{"level": "warn", "message": "Request chatcmpl-b3fa5810d9a586fa aborted"}',
    '{"levelname": "ERROR", "process": 12, "processName": "P", "filename": "f.py", "lineno": 3}',
    '{"not": "closed"',
    '["a", "list"]',
    '{"msg": "no level", "logger": "l"}',
    '{"level": 50, "time": 1714999999123, "pid": 7, "msg": "numbered"}',
    '{"timestamp": "2024-03-06T17:53:31Z", "level": "ERROR", "fields": {"message": "x"}, "target": "launcher"}',
    '{"record": {"level": {"name": "ERROR", "no": 40}, "file": {"name": "f.py"}, "line": 3, "process": {"id": 12}}}',
    '(Worker pid=3) {"severity": "WARNING", "message": "behind a prefix"}',
    "INFO 11-22 13:12:10 [core.py:1] Added request 0123456789abcdef0123456789abcdef.",
    "INFO 11-22 13:12:10 [core.py:1] Aborted request(s) chatcmpl-b3fa5810d9a586fa-b07f8b2b,cmpl-1a2b3c4d5e",
    "INFO 11-22 13:12:10 [request_logger.py:65] Received request cmpl-order/26:42@eu+a=b-0: params: x",
    "INFO 11-22 13:12:10 [async_llm.py:578] Added request chatcmpl-{run|7}.步骤-a86dea28.",
    "INFO 11-22 13:12:10 [async_llm.py:578] Aborted request(s) cmpl-a.b-0-9c8b7a6d,cmpl-c.d-0-01234567.",
    "INFO 11-22 13:12:10 [core.py:1] a request without-an-id-in-it",
    "api_key='secret' password=hunter2 Bearer abcdefgh12345678",
    "通义千问 ✓ 密码",
]


async def _shipped_by_the_agent(directory, lines):
    """Return the launch, and what a real agent ships of it."""
    loki = LokiStandIn()
    await loki.start()
    state_dir = directory / "state"
    state_dir.mkdir()
    launch = Launch(state_dir, modelName="qwen-7b")
    segment = state_dir / "logs" / "test" / "vllm" / f"qwen-7b-2026-11-22_211210-{launch.launch_id[-6:]}.log"
    segment.parent.mkdir(parents=True)
    launch.segments = [launch.segments[0].rename(segment)]
    launch.record["logFile"] = str(segment)
    launch.save()
    for text, mark in lines:
        launch.print(text, mark=mark)
    launch.print("started launchId=x", mark="event")
    agent = AgentProcess(state_dir, loki.url)
    try:
        await agent.start()
        await loki.until(lambda: len(loki.stored) == len(lines) + 1)
    finally:
        await agent.stop()
        await loki.stop()
    return segment, loki.entries()


def _lines(path):
    if path == "odd":
        marks = [(f"{text} {mark}", mark) for text in ("x", "ERROR: x") for mark in ("cut", "redraw")]
        events = ["ready seconds=1.0", "exited state=crashed code=0", "exited state=stopped", "failed x=1", "gap a=1"]
        events += ["unhealthy seconds=9.0", "recovered seconds=3.0"]
        return [*((text, None) for text in ODD), *marks, *((text, "event") for text in events)]
    data = path.read_bytes()
    return [(line.removesuffix(b"\r"), None) for line in data.removesuffix(b"\n").split(b"\n")]


def test_the_program_has_the_same_grammar():
    program = PROGRAM.read_text(encoding="utf-8")
    prefix, forms, nested, fatal = vrl_header_lines()

    assert prefix in program
    assert [line.strip() for line in program.splitlines() if "{ h = parse_regex(" in line] == forms
    assert nested in program
    assert fatal in program


@pytest.mark.parametrize("path", [*LOGS, "odd"], ids=lambda path: getattr(path, "stem", path))
async def test_every_entry_is_the_same_but_for_the_level_of_lines_without_a_header(path, tmp_path):
    remap = Remap()
    lines = _lines(path)
    segment, entries = await _shipped_by_the_agent(tmp_path, lines)
    written = segment.read_bytes().removesuffix(b"\n").split(b"\n")
    assert len(entries) == len(written)
    missing = Counter()

    for line, entry in zip(written, entries, strict=True):
        event = remap(line.decode(errors="replace"), segment, "node1")
        labels = ", ".join(f'{name}="{event["labels"][name]}"' for name in _ORDER)
        metadata = dict(event["metadata"])
        expected = dict(entry.metadata)
        if "level" not in metadata:
            missing[expected.pop("level")] += 1
            parsed = parse_line(line)
            assert parsed.mark != "event"
            assert split_header(parsed.text)[0] is None, line
        assert event["message"] == entry.line
        assert event["nanoseconds"] == entry.time_ns
        assert "{" + labels + "}" == entry.labels
        assert metadata == expected, line

    if path != "odd":
        headers = sum(b"] " in line and (b"INFO " in line or b"ERROR " in line) for line in written)
        assert sum(missing.values()) <= len(written) - headers


_ORDER = ("traceId", "instanceId", "launchId", "service_name", "env", "engine", "host")
