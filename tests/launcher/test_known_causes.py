"""The known causes are recognised in what engines print: tests/data/known-causes has a real line for each."""

import pytest
from support.known_causes import IDS, RECORDED

from tracetail.launcher import engines
from tracetail.launcher.engines import signals
from tracetail.launcher.engines.causes import tables
from tracetail.launcher.keeper import cause_match
from tracetail.launcher.keeper.diagnosis import diagnose
from tracetail.launcher.keeper.finding import KNOWN
from tracetail.launcher.keeper.log_errors import read_errors

HEADERS = {
    "bare": "",
    "a child's": "(EngineCore pid=5223) ",
    "new": "[traceId=t1 instanceId=i1] (EngineCore_DP0 pid=71) ERROR 11-22 13:12:10 [core.py:700] ",
    "old": "(Worker_TP1 pid=72) [traceId=t1 instanceId=i1] ERROR 11-22 13:12:10 [multiproc_executor.py:500] ",
    "torchrun's": "[rank1]: ",
    "of 0.6": "ERROR 11-22 13:12:10 engine.py:1] ",
    "coloured": "\x1b[0;36m(Worker pid=7949)\x1b[0;0m \x1b[31mERROR\x1b[0m \x1b[90m11-26 16:15:18\x1b[0m "
    "\x1b[90m[multiproc_executor.py:953]\x1b[0m ",
}
PROMPT_HEADERS = (
    "[traceId=t1 instanceId=i1] (APIServer pid=71) INFO 11-22 13:12:10 [request_logger.py:65] ",
    "(APIServer pid=71) [traceId=t1 instanceId=i1] DEBUG 11-22 13:12:10 [request_logger.py:65] ",
)


def with_header(recorded, header):
    return [header.encode() + line for line in recorded.lines]


@pytest.mark.parametrize("recorded", RECORDED, ids=IDS)
def test_a_recorded_line_names_its_cause_behind_every_header(recorded):
    for header in HEADERS.values() if not recorded.bare else [""]:
        found = diagnose(engines.load(recorded.engine), with_header(recorded, header))
        assert found is not None
        assert (found.code, found.kind, found.text.en) == (recorded.code, KNOWN, recorded.cause), header
        assert found.hint.en
        assert found.hint.zh
        assert found.text.zh


@pytest.mark.parametrize("recorded", RECORDED, ids=IDS)
def test_a_custom_command_is_read_with_the_tables_of_every_engine(recorded):
    found = diagnose(engines.load("custom"), recorded.lines)
    assert found is not None
    assert found.code == recorded.code


@pytest.mark.parametrize("recorded", RECORDED, ids=IDS)
def test_the_same_text_in_a_logged_prompt_names_no_cause(recorded):
    text = recorded.text
    prompts = [f"Received request cmpl-1: prompt: {text!r}, params: SamplingParams(n=1)", f"prompt: {text!r}"]
    lines = [(header + prompt).encode() for header in (*PROMPT_HEADERS, "") for prompt in prompts]
    # A prompt of several lines: vLLM repeats the header on each.
    lines += [header.encode() + line for header in PROMPT_HEADERS for line in recorded.lines]
    lines += [f"[2026-11-22 13:12:10 TP0] Receive: obj=GenerateReqInput(text={text!r})".encode()]
    for engine in engines.NAMES:
        found = diagnose(engines.load(engine), lines)
        assert found is None or found.kind != KNOWN


def test_every_cause_has_its_texts_in_both_languages():
    for table in tables.all_tables().values():
        for cause in table:
            assert cause.text.en
            assert cause.text.zh
            assert cause.died or (cause.hint.en and cause.hint.zh)
    for engine in engines.NAMES:
        assert all(hint.en and hint.zh for hint in tables.hints(engine, []).values())


def test_a_hint_names_the_options_of_its_engine_alone():
    other = {
        "sglang": ("gpu-memory-utilization", "max-model-len"),
        "vllm": ("mem-fraction-static",),
        "mindie": ("--gpu-memory",),
    }
    memory = [b"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity"]
    for engine, options in other.items():
        for recorded in RECORDED:
            found = diagnose(engines.load(engine), recorded.lines)
            known = found is not None and found.kind == KNOWN  # any other hint is the message's own advice
            assert not known or not any(option in found.hint.en for option in options), recorded
    shown = diagnose(engines.load("custom"), [b"[2026-01-01 10:00:00] server_args=ServerArgs(tp_size=1)", *memory])
    assert shown is not None
    assert "--mem-fraction-static" in shown.hint.en


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGILL", "SIGABRT", "SIGBUS", "SIGTERM"])
def test_the_exit_code_of_a_process_is_named_as_a_signal_with_its_own_hint(name):
    number = signals.number_of(name)
    line = f"ERROR 11-26 15:44:36 [m.py:315] Worker proc VllmWorker-0 died unexpectedly (exit code: -{number})"
    found = diagnose(engines.load("vllm"), [line.encode()])
    assert found is not None
    assert found.text.en == f"worker VllmWorker-0 was killed by {name}"
    assert found.code == signals.cause_of(number).code
    assert found.hint == signals.cause_of(number).hint


def test_every_pattern_has_a_recorded_line():
    matched = set()
    for recorded in RECORDED:
        errors = read_errors(recorded.lines)
        messages = [
            *errors.messages,
            *(message for one in errors.tracebacks for exception in one.exceptions for message in exception),
        ]
        for cause in tables.all_tables()[recorded.table]:
            for line in cause.lines:
                if any(cause_match.match([cause._replace(lines=(line,))], message) for message in messages):
                    matched.add((recorded.table, line))
    missing = [
        (name, cause.code, line.pattern or line.anchor)
        for name, table in tables.all_tables().items()
        for cause in table
        for line in cause.lines
        if (name, line) not in matched
    ]
    assert missing == []
