import json
import subprocess
import sys

import pytest

from tracetail.contract.engine_lines import FORMS, NO_HEADER, PREFIX, parse_header, split_header

IDS = b"[traceId=t1 instanceId=i1] "
EXAMPLES = {
    "vllm": b"WARNING 11-22 13:12:10 [core.py:1] the text",
    "uvicorn": b"WARNING:  the text",
    "sglang": b"[2026-11-22 13:12:10 TP0] the text",
    "mindie": b"[2026-11-22 13:12:10,123456] [123] [140001] [llm] [WARN] [llm_manager.cpp:12] : the text",
    "glog": b"[W1122 13:13:02.336122 utils.cpp:68] the text",
    "dated": b"2026-11-22 13:12:10,123 WARNING - the text",
    "bracketed": b"[WARN|trainer.py:7] the text",
    "nccl": b"node1:123:456 [0] NCCL WARN the text",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "prefix",
    [
        b"",
        IDS,
        IDS + b"(Worker_TP1 pid=72) ",
        b"(Worker_TP1 pid=72) " + IDS,
        b"\x1b[36m(Worker pid=7)\x1b[0m ",
        b"[rank3]: ",
    ],
)
def test_every_form_gives_level_and_message_behind_every_prefix(form, prefix):
    line = EXAMPLES[form]
    assert FORMS[form].match(line)
    level = "info" if form == "sglang" else "warning"
    assert split_header(prefix + line) == (level, b"the text")


@pytest.mark.parametrize(
    "line", [b"", b"plain words", b"   indented", b"INFO", b"[1, 2]", b'{"not": "closed"', b"INFORM"]
)
def test_a_line_without_a_header_is_its_own_message(line):
    assert parse_header(line) == NO_HEADER
    assert split_header(line) == (None, line)


def test_the_indentation_of_a_message_is_kept():
    assert split_header(b"ERROR 11-22 13:12:10 [core.py:1]   File") == ("error", b"  File")
    assert split_header(b"(EngineCore pid=3)   File") == (None, b"  File")


def test_a_header_has_the_fields_that_are_printed():
    line = IDS + b"(EngineCore_DP0 pid=71) ERROR 11-22 13:12:10 [core.py:700] text"
    prefix = PREFIX.match(line)
    header = parse_header(line, prefix.end())
    assert prefix.groups()[:4] == (b"t1", b"i1", b"EngineCore_DP0", b"71")
    assert (header.level, header.source, header.timestamp) == ("error", b"core.py:700", b"11-22 13:12:10")
    assert line[header.body :] == b"text"


@pytest.mark.parametrize(
    "fields",
    [
        {"levelname": "ERROR", "process": 12, "processName": "P", "filename": "f.py", "lineno": 3, "asctime": "x"},
        {"level": "error", "pid": "12", "vllm_process_name": "P", "source": "f.py:3", "ts": "x", "message": "\ud800"},
    ],
)
def test_json_fields_are_found_under_the_names_that_formatters_use(fields):
    header = parse_header(json.dumps(fields).encode())
    assert header[:5] == ("error", b"P", b"12", b"f.py:3", b"x")


def test_it_needs_nothing_but_the_standard_library():
    code = "import sys, tracetail.contract.engine_lines; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"orjson", "re2", "aiohttp", "msgspec", "psutil"}.intersection(loaded)
