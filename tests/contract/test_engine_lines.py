import json
import re
import subprocess
import sys

import pytest
from support.real_lines import REAL_LINES, STAMPS

from tracetail.contract.engine_lines import (
    FORMS,
    NO_HEADER,
    json_message,
    parse_header,
    read_line,
    split_header,
)

IDS = "[traceId=t1 instanceId=i1] "
PREFIXES = [
    IDS,
    f"{IDS}(Worker_TP1 pid=72) ",
    f"(Worker_TP1 pid=72) {IDS}",
    "\x1b[36m(Worker_TP1 pid=72)\x1b[0m ",
    "(Worker pid=72) (Worker_TP1 pid=72) ",
    "(VllmWorker rank=0 pid=1) (Worker_TP1 pid=72) ",
    "(RayWorkerWrapper pid=1, ip=192.0.2.1) (Worker_TP1 pid=72, ip=192.0.2.1) ",
    "(raylet) ",
    "[rank3]: ",
    "[rank3]:",
    "[default0]:[rank0]: ",
]


PATTERNS = {name: re.compile(form.pattern.encode()) for name, form in FORMS.items()}


def text(value):
    return value.decode() if value is not None else None


def form_of(line):
    return next((name for name, pattern in PATTERNS.items() if pattern.match(line.text, line.prefix_end)), "")


@pytest.mark.parametrize("real", REAL_LINES, ids=lambda real: f"{real['form']}-{real['line'][:40]}")
def test_a_real_line_has_the_fields_that_a_reader_finds(real):
    line = read_line(real["line"].encode())
    header = line.header
    found = {
        "level": header.level,
        "process": text(header.process),
        "pid": text(header.pid),
        "source": text(header.source),
        "time": text(header.timestamp),
    }
    assert found == {name: real.get(name) for name in found}
    assert line.message.decode().startswith(real["message"])
    assert form_of(line) == real["form"]


@pytest.mark.parametrize(
    ("line", "node"),
    [
        ("(RayWorkerWrapper pid=164587, ip=192.0.2.180) ERROR 06-21 03:49:38 worker_base.py:148] E", b"192.0.2.180"),
        ("\x1b[36m(RayWorkerProc pid=4521, ip=127.0.0.3)\x1b[0m   if hasattr(value, '__dict__'):", b"127.0.0.3"),
        ("(RayWorkerProc pid=7, ip=2001:db8::7) text", b"2001:db8::7"),
        ("(Worker_TP1 pid=9) INFO 11-26 16:12:36 [core.py:1] text", None),
    ],
)
def test_a_line_that_ray_brings_from_another_machine_has_its_address(line, node):
    assert read_line(line.encode()).header.node == node


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_recognised_behind_every_prefix(form, prefix):
    real = next(real for real in REAL_LINES if real["form"] == form)
    line = read_line((prefix + real["line"]).encode())
    assert line.header.level == real["level"]
    assert text(line.header.source) == real.get("source")
    assert text(line.header.timestamp) == real.get("time")
    if "Worker_TP1" in prefix and not real.get("process"):
        assert line.header.process == b"Worker_TP1"
    assert line.message.decode().startswith(real["message"])
    assert line.ids == ((b"t1", b"i1") if IDS in prefix else None)


@pytest.mark.parametrize("stamp", STAMPS.values(), ids=STAMPS)
@pytest.mark.parametrize(
    "real", [real for real in REAL_LINES if real["level"]], ids=lambda real: f"{real['form']}-{real['line'][:40]}"
)
def test_a_header_is_recognised_behind_what_another_program_puts_in_front_of_every_line(real, stamp):
    alone, stamped = read_line(real["line"].encode()), read_line((stamp + real["line"]).encode())
    if not alone.header.named and stamped.header.level is None:  # indented: it continues the record before it
        return
    assert stamped.header.level == real["level"]
    if real["form"] not in ("mindie", "cann", "torch_npu"):  # docker's date and their level are a header, too
        assert text(stamped.header.source) == real.get("source")
    assert alone.header.timestamp is None or stamped.header.timestamp is not None


def test_json_is_recognised_behind_what_another_program_puts_in_front_of_every_line():
    line = read_line(b'vllm-1  | {"timestamp": "2024-03-06T17:53:31Z", "level": "ERROR", "fields": {"message": "x"}}')
    assert line.header.level == "error"
    assert line.message.startswith(b'{"timestamp"')


def test_what_is_indented_behind_a_stamp_has_no_level_of_its_own():
    assert read_line(b"vllm-1  |   warnings.warn(").header.level is None
    assert read_line(b"vllm-1  | Loading weights").header.level == "info"


@pytest.mark.parametrize(
    "line", [b"", b"plain words", b"   indented", b"INFO", b"[1, 2]", b'{"not": "closed"', b"INFORM", b"(see pid) x"]
)
def test_a_line_without_a_header_is_its_own_message(line):
    assert parse_header(line) == NO_HEADER
    assert split_header(line) == (None, line)


def test_the_indentation_of_a_message_is_kept():
    assert split_header(b"ERROR 11-22 13:12:10 [core.py:1]   File") == ("error", b"  File")
    assert split_header(b"(EngineCore pid=3)   File") == (None, b"  File")


def test_a_header_without_a_level_does_not_name_the_one_that_is_assumed():
    assert not read_line(b"[2026-11-22 13:12:10 TP0] Exit code: -9").header.named
    assert read_line(b"INFO 11-22 13:12:10 [core.py:1] fine").header.named


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {
                "levelname": "ERROR",
                "process": 12,
                "processName": "P",
                "filename": "f.py",
                "lineno": 3,
                "asctime": "x",
            },
            ("error", b"P", b"12", b"f.py:3", b"x"),
        ),
        (
            {
                "level": "error",
                "pid": "12",
                "vllm_process_name": "P",
                "source": "f.py:3",
                "ts": "x",
                "message": "\ud800",
            },
            ("error", b"P", b"12", b"f.py:3", b"x"),
        ),
        # structlog, python-json-logger with renamed fields, Google Cloud, Elastic Common Schema, OpenTelemetry
        ({"event": "boom", "level": "warning", "timestamp": "x"}, ("warning", None, None, None, b"x")),
        ({"severity": "CRITICAL", "time": "x", "logger": "a.b"}, ("critical", None, None, b"a.b", b"x")),
        ({"log.level": "error", "@timestamp": "x", "message": "boom"}, ("error", None, None, None, b"x")),
        ({"SeverityText": "WARN", "body": "careful"}, ("warning", None, None, None, None)),
        # TGI's --json-output
        (
            {"timestamp": "x", "level": "ERROR", "fields": {"message": "boom"}, "target": "text_generation_launcher"},
            ("error", None, None, b"text_generation_launcher", b"x"),
        ),
        # pino and bunyan number their levels
        (
            {"level": 50, "time": 1714999999123, "pid": 7, "msg": "boom"},
            ("error", None, b"7", None, b"1714999999123"),
        ),
        ({"level": 30, "msg": "fine"}, ("info", None, None, None, None)),
        # loguru's serialize=True
        (
            {
                "text": "…",
                "record": {
                    "level": {"icon": "❌", "name": "ERROR", "no": 40},
                    "time": {"repr": "x", "timestamp": 1.5},
                    "file": {"name": "f.py", "path": "/a/f.py"},
                    "line": 3,
                    "process": {"id": 12, "name": "MainProcess"},
                    "message": "boom",
                },
            },
            ("error", None, b"12", b"f.py:3", b"x"),
        ),
    ],
)
def test_json_fields_are_found_under_the_names_that_formatters_use(fields, expected):
    assert parse_header(json.dumps(fields).encode())[:5] == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"message": "boom", "exc_info": "Traceback …\nValueError: x"}, "boom\nTraceback …\nValueError: x"),
        ({"event": "boom"}, "boom"),
        ({"fields": {"message": "boom"}}, "boom"),
        ({"record": {"level": {"name": "ERROR"}, "message": "boom"}, "text": "with colours"}, "boom"),
        ({"level": "error"}, None),
    ],
)
def test_the_message_of_json_is_followed_by_its_traceback(fields, expected):
    assert json_message(json.dumps(fields).encode()) == expected


def test_it_needs_nothing_but_the_standard_library():
    code = "import sys, tracetail.contract.tracebacks; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"orjson", "re2", "aiohttp", "msgspec", "psutil"}.intersection(loaded)
