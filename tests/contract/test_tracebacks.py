"""Which lines belong to a traceback: forms that Python, pydantic, Ray, CANN and exception groups print."""

import pytest

from tracetail.contract.engine_lines import read_line
from tracetail.contract.tracebacks import Tracebacks

START = "Traceback (most recent call last):"
FRAME = '  File "/opt/llm/x.py", line 7, in main'
CODE = "    main()"


def parts(lines, tracebacks=None):
    """Return the part of each line, shortened to its first letter; "." for a line that belongs to no traceback."""
    tracebacks = tracebacks or Tracebacks()
    found = ""
    error = False
    for text in lines:
        line = read_line(text.encode())
        part = tracebacks.add(line, after_error=error)
        error = part is not None or line.header.level == "error" or (error and not text.strip())
        found += part.value[0] if part else "."
    return found


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([START, FRAME, CODE, "ValueError: no", "next record"], "sffe."),
        ([START, FRAME, CODE, "KeyError", "next record"], "sffe."),
        # It begins where a line ends in it, whatever stands before (SGLang, nanobind's unfinished line, uvicorn).
        (
            [f"[2025-12-11 10:35:34 TP0] Scheduler hit an exception: {START}", FRAME, CODE, "RuntimeError: x", "y"],
            "sffe.",
        ),
        ([f"See https://nanobind.readthedocs.io/en/latest/refleaks.html{START}", FRAME, "RuntimeError: x"], "sfe"),
        ([f"ERROR:    {START}", FRAME, CODE, "OSError: x"], "sffe"),
        # The header goes on, or it does not.
        ([f"INFO 11-22 13:12:10 [a.py:1] {t}" for t in (START, FRAME, CODE, "ValueError: no", "on")], "sffe."),
        ([f"[2025-12-11 10:35:34 TP0] hit: {START}", FRAME, "E: x", "[2025-12-11 10:35:34 TP0]   indented"], "sfe."),
        # Chained exceptions.
        (
            [
                START,
                FRAME,
                "KeyError: 1",
                "",
                "During handling of the above exception, another exception occurred:",
                "",
                START,
                FRAME,
                "ValueError: 2",
                "",
                "The above exception was the direct cause of the following exception:",
            ],
            "sfe.l.sfe.l",
        ),
        # pydantic: the message goes on to its last `For further information`, whatever its lines look like.
        (
            [
                START,
                FRAME,
                "pydantic_core._pydantic_core.ValidationError: 2 validation errors for ModelConfig",
                "hf_overrides.dict[str,any]",
                "  Input should be a valid dictionary [type=dict_type, input_value='x']",
                "    For further information visit https://errors.pydantic.dev/2.12/v/dict_type",
                "hf_overrides.callable",
                "  Input should be callable [type=callable_type, input_value='x']",
                "    For further information visit https://errors.pydantic.dev/2.12/v/callable_type",
                "next record",
            ],
            "sfemmmmmm.",
        ),
        # A message that enumerates or advises.
        (
            [
                START,
                FRAME,
                "ValueError: Couldn't instantiate the backend tokenizer from one of: ",
                "(1) a `tokenizers` library serialization file, ",
                "(2) a slow tokenizer instance to convert or ",
                "You need to have sentencepiece or tiktoken installed",
                "next record",
            ],
            "sfemmm.",
        ),
        (
            [
                START,
                FRAME,
                "RuntimeError: CUDA error: an illegal memory access was encountered",
                "CUDA kernel errors might be asynchronously reported at some other API call",
                "For debugging consider passing CUDA_LAUNCH_BLOCKING=1",
                "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
                "",
                "Process EngineCore:",
            ],
            "sfemmm..",
        ),
        # Ray appends the worker's traceback without its first line.
        (
            [
                START,
                FRAME,
                "ray.exceptions.RayTaskError(KeyError): \x1b[36mray::W.get()\x1b[39m (pid=19, ip=192.0.2.2)",
                "           ^^^^^^^^^^^",
                FRAME,
                CODE,
                "KeyError: 'vcpu'",
                "next record",
            ],
            "sfefffe.",
        ),
        (
            [
                "2026-11-26 16:03:41,968\tERROR worker.py:439 -- Unhandled error: \x1b[36mray::W.get()\x1b[39m",
                FRAME,
                CODE,
                "KeyError: 'vcpu'",
                "next record",
            ],
            ".ffe.",
        ),
        # Exception groups and CANN's traces are indented to their end.
        (
            [
                f"  + Exception Group {START}",
                '  |   File "x.py", line 1, in <module>',
                "  | ExceptionGroup: unhandled (1)",
                "  +-+---------------- 1 ----------------",
                f"    | {START}",
                "    | ValueError: 1",
                "    +------------------------------------",
                "next record",
            ],
            "sfffsff.",
        ),
        (
            [
                "[rank0]: EJ0003: [PID: 159] 2025-03-26-17:01:02.816.428 Failed to bind the IP port.",
                "[rank0]:         TraceBack (most recent call last):",
                "[rank0]:         host nic listen start failed, port[60000]",
                "[rank0]: next record",
            ],
            ".sf.",
        ),
        # faulthandler's.
        (["Current thread 0x00007f0a (most recent call first):", FRAME, "next record"], "sf."),
        # The lines of several processes, and of none, in between.
        (
            [
                "(TP0 pid=1) " + START,
                "(TP1 pid=2) " + START,
                "(TP0 pid=1) " + FRAME,
                "(TP0 pid=1) RuntimeError: one",
                "(TP1 pid=2) " + FRAME,
                "(TP1 pid=2) RuntimeError: two",
                "(TP1 pid=2) bye",
            ],
            "ssfefe.",
        ),
        ([START, FRAME, "Triton is installed. Disabling Triton.", FRAME, CODE, "ValueError: no"], "sf.ffe"),
        ([START, FRAME, "/opt/x.py:12: UserWarning: leaked", CODE, "ValueError: no"], "sf.fe"),
        ([START, FRAME, "INFO:     Shutting down", CODE, "ValueError: no"], "sf.fe"),
        # A traceback that was cut off.
        ([START, FRAME, "Process SpawnProcess-1:", "next: record"], "sf.."),
    ],
)
def test_the_parts_of_a_traceback(lines, expected):
    assert parts(lines) == expected


def test_the_state_is_what_later_lines_depend_on():
    lines = [
        START,
        FRAME,
        CODE,
        "x.ValidationError: 1 validation error for X",
        "field",
        FRAME,
        CODE,
        "ValueError: 1",
        "z",
    ]
    whole = parts(lines)
    for cut in range(len(lines)):
        first = Tracebacks()
        before = parts(lines[:cut], first)
        assert before + parts(lines[cut:], Tracebacks(first.state())) == whole


def test_open_tracebacks_are_bounded():
    tracebacks = Tracebacks()
    parts([f"(W pid={pid}) {START}" for pid in range(1000)], tracebacks)
    assert len(tracebacks.open) < 100
