"""The forms of headers that inference servers print before a message, as regular expressions with named groups.

Groups, all optional: `level` or `letter` (a key of LEVELS, in any case), `code` (the level is error), `process`,
`pid`, `source` (`file:line`, or a logger's name) and `time`. A form without a level has the level info, unless
another header follows it.

The expressions use only what Python's `re` and Rust's `regex` have in common: deploy/vector/tracetail.vrl holds the
same ones in the same order. Real lines of each form, with their sources, are in tests/data/real-lines.jsonl.
"""

import functools
import re
from collections.abc import Callable  # noqa: TC003  (the annotation of an attribute)
from operator import itemgetter
from typing import NamedTuple

LEVELS = {
    "TRACE": "debug",
    "DEBUG": "debug",
    "VERBOSE": "debug",
    "VERB": "debug",
    "V": "debug",
    "DEBU": "debug",
    "D": "debug",
    "INFO": "info",
    "NOTICE": "info",
    "EVENT": "info",
    "SUCCESS": "info",
    "I": "info",
    "WARN": "warning",
    "WARNING": "warning",
    "W": "warning",
    "ERR": "error",
    "ERROR": "error",
    "EXCEPTION": "error",
    "SEVERE": "error",
    "ERRO": "error",
    "E": "error",
    "FATAL": "critical",
    "CRITICAL": "critical",
    "PANIC": "critical",
    "FATA": "critical",
    "PANI": "critical",
    "F": "critical",
    "C": "critical",
}
"""Level names as engines print them, and the value of the metadata `level` for each."""

_WORD = "TRACE|DEBUG|VERBOSE|INFO|NOTICE|EVENT|SUCCESS|WARNING|WARN|ERROR|EXCEPTION|SEVERE|FATAL|CRITICAL"
_LOWER_WORD = "trace|debug|info|notice|warning|warn|error|fatal|critical"
_CLOCK = r"\d\d:\d\d:\d\d(?:[.,:]\d{1,9}(?:\.\d{3})?)?"
_DATE = rf"\d{{4}}[-/]\d\d[-/]\d\d[ T-]{_CLOCK}(?: ?(?:Z|[+-]\d\d:?\d\d))?"
"""`2026-11-22 13:12:10,123`, `2026-11-22T13:12:10.123456Z`, CANN's `2025-04-27-07:23:17.709.105`."""
_FILE = r"[\w./<>-]{1,128}:\d{1,7}"
_FIELD = (
    r"(?:\[[^\]]{0,64}\]|[\w./@:-]{1,64} ?[|-](?: |$)"
    r"|[\w./-]{1,64}[.:]\w{1,64}(?:\[\d{1,10}\])?|\d{1,10})"
)
"""A field between date and level: in brackets, followed by a separator, a dotted name, or a number."""


class Form(NamedTuple):
    """A form of a header."""

    pattern: str
    starts: str = ""
    """Matches the first two characters of every such line; empty: any."""
    needles: tuple[bytes, ...] = ()
    """One of these is in every such line; empty: none is known. A search for it is cheaper than the pattern."""
    weak: bool = False
    """A message's own words were recognised: the line may also be part of a traceback, and has no fixed header."""


_WORD_START = "[A-Z][A-Z]"
_DATE_START = r"\[?\d"
_BRACKETED_DATE_START = r"\[\d"
_LETTER_START = r"\[[A-Za-z]"

FORMS = {
    # vLLM: `INFO 11-22 13:12:10 [api_server.py:90] text`; before 0.7 without the opening bracket.
    "vllm": Form(
        r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<time>\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,9})?) "
        r"\[?(?P<source>[^\]\s]{1,128})\](?: |$)",
        _WORD_START,
    ),
    # logrus on a terminal (Docker's and Kubernetes' commands): `ERRO[0046] text`
    "logrus": Form(r"(?P<level>DEBU|INFO|WARN|ERRO|FATA|PANI)\[\d{1,10}\] ", _WORD_START),
    # Ray Serve and Django: `INFO 2026-11-22 13:12:10,123 controller 4711 -- text`
    "level_date": Form(rf"(?P<level>{_WORD})[ |:,-]{{1,3}}\[?(?P<time>{_DATE})\]? ?", _WORD_START),
    # uvicorn: `INFO:     text`; Python's default: `ERROR:root:text`
    "uvicorn": Form(rf"(?P<level>{_WORD})(?:\[[A-Z]{{2,16}}\])?:(?: {{1,8}}|[\w.]{{1,64}}:|$)", _WORD_START),
    # llama.cpp's server of 2024: `ERR  [              load_model] unable to load model | tid="1"`
    "llama_padded": Form(r"(?P<level>INFO|WARN|ERR|VERB) {1,2}\[ {0,30}(?P<source>\w{1,64})\] ", _WORD_START),
    # glog, and PyTorch's C++, which prints the month without a leading zero: `[W917 04:55:12.6076 utils.cpp:68] text`
    "glog": Form(
        r"\[?(?P<level>[IWEFC])(?P<month>\d{1,2})(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
        rf" +(?:\d{{1,20}} +)?(?P<source>{_FILE})\](?: |$)",
        r"\[[IWEFC]|[IWEFC]\d",
    ),
    # PyTorch before 2.3: `[W socket.cpp:663] [c10d] text`
    "glog_undated": Form(rf"\[(?P<level>[IWEFC]) (?P<source>{_FILE})\] ", r"\[[IWEFC]"),
    # MindIE: `[date time] [pid] [tid] [component] [LEVEL] [file:line] : [code] text`
    "mindie": Form(
        rf"\[(?P<time>{_DATE})[^\]]{{0,16}}\] ?\[(?P<pid>\d{{1,10}})\] ?\[\d{{1,20}}\]"
        rf"(?: ?\[(?P<process>[^\]]{{1,64}})\])? ?\[(?P<level>{_WORD})\] ?\[(?P<source>[^\]]{{1,128}})\]",
        _BRACKETED_DATE_START,
    ),
    # Ray's C++: `[2026-11-22 13:12:10,123 I 12 34] (raylet) file.cc:1: text`
    "ray": Form(
        rf"\[(?P<time>\d{{4}}-\d\d-\d\d {_CLOCK}) (?P<level>[DIWEFC]) (?P<pid>\d{{1,10}}) \d{{1,10}}\]"
        rf"(?: \((?P<process>[\w-]{{1,64}})\))?(?: (?P<source>{_FILE}):)?(?: |$)",
        _BRACKETED_DATE_START,
    ),
    # gunicorn: `[2026-11-22 13:12:10 +0000] [7] [INFO] text`
    "gunicorn": Form(
        rf"\[(?P<time>{_DATE})\] \[(?P<pid>\d{{1,10}})\] \[(?P<level>{_WORD})\] ", _BRACKETED_DATE_START
    ),
    # NCCL: `host:pid:tid [0] file.cc:1 NCCL WARN text`, since 2.26 behind a date
    "nccl": Form(
        rf"(?:\[(?P<time>{_DATE})\] )?[\w.-]{{1,128}}:(?P<pid>\d{{1,10}}):\d{{1,10}} \[\d{{1,4}}\] "
        rf"(?:{_FILE} )?NCCL (?P<level>WARN|INFO|TRACE|ERROR)\b",
        needles=(b" NCCL ",),
    ),
    # rsyslog's own format, and `journalctl -o short-iso`: `2026-08-17T18:42:18+02:00 host vllm[8052]: text`
    "syslog_iso": Form(
        rf"(?P<time>\d{{4}}-\d\d-\d\dT{_CLOCK}(?:Z|[+-]\d\d:?\d\d)) "
        r"[\w.:-]{1,255} [^\s:\[\]]{1,64}\[(?P<pid>\d{1,10})\]:(?: |$)",
        r"\d",
        needles=(b"]:",),
    ),
    # Lines that begin with a date and name a level: asctime, loguru, tracing (TGI), Ray's Python, spdlog, FastChat …,
    # and those of vLLM and of Python's default behind docker's date: `2026-11-22T13:12:10Z ERROR 11-22 13:12:10 …`
    "dated": Form(
        rf"\[?(?P<time>{_DATE})\]?[\s|:,-]*(?:[\w-]{{1,64}} +)??(?:{_FIELD}[\s|:,-]*){{0,4}}?"
        rf"[\[(<]?(?P<level>{_WORD})\b[\])>]?"
        r"(?:[ \t]*\|?[ \t]*\[?(?:\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,9})? \[?)?"
        r"(?P<source>[\w./<>-]{1,128}(?::[\w<>]{1,64})?:\d{1,7})(?:\](?: :)?(?: |$)| --? |: )"
        r"|:[\w.]{1,64}:|[ \t]*\| [\w.]{1,64} \|(?: |$))?",
        _DATE_START,
    ),
    "dated_lower": Form(
        rf"\[?(?P<time>{_DATE})\]?[\s|:,-]*(?:\[[^\]]{{0,64}}\] ?){{0,3}}?"
        rf"[\[(<]?(?P<level>{_LOWER_WORD})\b[\])>]?",
        _DATE_START,
    ),
    # TensorFlow: `2026-11-22 13:12:10.123456: E file.cc:1] text`
    "tensorflow": Form(rf"(?P<time>{_DATE}): (?P<level>[IWEF]) (?P<source>{_FILE})\] ", _DATE_START),
    # SGLang: `[2026-11-22 13:12:10 DP0 TP2] text`
    "sglang": Form(
        r"\[(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d{1,6})?)(?P<process>(?: [A-Z][A-Z_]*\d{0,6}){0,6})\] ",
        _BRACKETED_DATE_START,
    ),
    # Only a date, as `docker logs --timestamps` and platforms put it in front of every line: what follows is kept.
    "dated_plain": Form(rf"\[?(?P<time>{_DATE})\]?(?:\s?[|:,-]{{1,3}})?\s?", _DATE_START),
    # syslog (RFC 3164) and `journalctl`: `Aug 17 18:42:18 host vllm[8052]: text`
    "syslog": Form(
        r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [\w.:-]{1,255} [^\s:\[\]]{1,64}(?:\[(?P<pid>\d{1,10})\])?:(?: |$)",
        "Ja|Fe|Ma|Ap|Ju|Au|Se|Oc|No|De",
    ),
    # The same in Chinese: `7月 26 18:32:50 host vllm[8052]: text`
    "syslog_zh": Form(
        r"1?\d月 [ \d]\d \d\d:\d\d:\d\d [\w.:-]{1,255} [^\s:\[\]]{1,64}(?:\[(?P<pid>\d{1,10})\])?:(?: |$)",
        r"\d",
        needles=("月 ".encode(),),
    ),
    # `docker compose logs` and `up` put the service in front of every line: `vllm-1  | text`
    "compose": Form(
        r"\[?(?P<process>[a-z0-9][\w.-]{0,63})\]? {2,64}\|(?: |$)",
        r"\[?[a-z0-9]",
        needles=(b"  |",),
    ),
    # TensorRT-LLM: `[11/22/2026-13:12:10] [TRT-LLM] [E] text`
    "american": Form(
        rf"\[?(?P<time>\d\d/\d\d/\d{{4}}[ -]{_CLOCK})\]?[\s|:,-]*(?:\[[^\]]{{0,32}}\] ?){{0,3}}?"
        rf"(?:\[(?P<letter>[DIWEFV])\] ?|\[?(?P<level>{_WORD})\b\]?|\b)",
        _DATE_START,
    ),
    # CANN: `[ERROR] RUNTIME(29167,python):2025-04-27-07:23:17.709.105 [npu_driver.cc:1274]29953 text`
    "cann": Form(
        rf"\[(?P<level>{_WORD})\] [A-Z_]{{2,24}}\((?P<pid>\d{{1,10}}),(?P<process>[^)]{{1,64}})\):(?P<time>{_DATE}) "
        r"\[(?P<source>[^\]]{1,128})\]\d{0,10} ?",
        _LETTER_START,
    ),
    # torch_npu: `[ERROR] 2025-03-26-17:01:03 (PID:159, Device:0, RankID:-1) ERR02200 text`
    "torch_npu": Form(
        rf"\[(?P<level>{_WORD})\] (?P<time>{_DATE}) \(PID:(?P<pid>\d{{1,10}})[^)]{{0,64}}\) ?",
        _LETTER_START,
    ),
    # `[ERROR|trainer.py:7] text` of transformers; `[TM][ERROR] text` of TurboMind; `[error] text`
    "bracketed": Form(
        rf"(?:\[[\w .-]{{1,32}}\] ?){{0,2}}?\[(?P<level>{_WORD}|{_LOWER_WORD}|Error|Warning)"
        rf"(?:\|(?P<source>[^\]\s]{{1,128}}))?\]"
        rf"(?:[: -]{{1,3}}\[?(?P<time>{_DATE})\]?)?",
        r"\[",
    ),
    "bracketed_letter": Form(r"(?:\[[\w .-]{1,32}\] ?){1,2}?\[(?P<level>[DIWEF])\] ", r"\["),
    # CANN's codes: `EI0006: [PID: 749] 2025-… text`, since 8.3 `[PID: 749] 2025-… Communication_Error(EI0006): text`
    "cann_code": Form(
        rf"(?:\[PID: ?(?P<pid>\d{{1,10}})\] (?P<time>{_DATE}) \w{{1,80}}\()?(?P<code>E[A-Z0-9]\d{{4}})\)?: ",
        r"\[P|E[A-Z0-9]",
    ),
    # llama.cpp: `0.00.007.855 E text`
    "llama": Form(r"\d{1,4}\.\d\d\.\d{3}\.\d{3} (?P<level>[DIWEF]) ", _DATE_START),
    # logfmt, as Go's slog and logrus print it
    "logfmt": Form(
        r"(?:(?:time|ts|t)=\"?(?P<time>[^\"\s]{1,40})\"? )?(?:level|lvl)=\"?(?P<level>[A-Za-z]{3,9})\"?(?: |$)",
        r"t[is=]|l[ev]",
    ),
    # UCX and Open MPI: `[host:7 :0:8] Caught signal 11 (…)`, `[host:7] *** Process received signal ***`
    "signal": Form(
        r"\[[\w.-]{1,64}:\d{1,10}[ :\d]{0,32}\] (?P<code>Caught signal |\*\*\* Process received |Signal: )",
        r"\[",
    ),
    # llama.cpp without levels (`--log-prefix` off): `llama_model_load: error loading model: text`
    "llama_plain": Form(
        r"(?:(?:srv|slot|main|que|cmn) {1,12})?[a-z_]\w{3,63}(?:\(\))?: "
        r"(?P<code>error loading |failed to (?:load|open|allocate|create|read) |unable to load |exiting due to "
        r"|couldn't bind |allocating [\d.]{1,16} MiB on device \d{1,3}: cudaMalloc failed"
        r"|[A-Z_]{2,32} failed|\w{3,63}\(\) failed )",
        needles=(
            b": error loading ",
            b": failed to ",
            b": unable to ",
            b": exiting due to ",
            b": couldn't bind ",
            b": cudaMalloc failed",
            b" failed",
        ),
        weak=True,
    ),
    # ggml gives up: `/opt/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu:97: CUDA error`
    "ggml_abort": Form(
        r"[\w./+-]{1,128}\.(?:cuh?|cpp|c|h):\d{1,7}: (?P<code>CUDA error|GGML_ASSERT|fatal error)",
        needles=(b": CUDA error", b": GGML_ASSERT", b": fatal error"),
        weak=True,
    ),
    # A program's own: `error: text`, argparse's `prog: error: text`, a compiler's `file.c:1:2: fatal error: text`,
    # the loader's `program: error while loading shared libraries: text`
    "program": Form(
        r"(?:[\w./+@-]{1,128}(?::\d{1,7}){0,2}: |[\w./+-]{1,64}(?: [\w.-]{1,32}){1,2}: )?"
        r"(?:fatal )?(?P<level>[Ee]rror|ERROR|[Ff]atal|FATAL|[Ww]arning|WARNING)"
        r"(?: while loading shared libraries)?: ",
        needles=(b"rror: ", b"rror while loading", b"atal: ", b"arning: ", b"ERROR: ", b"FATAL: ", b"WARNING: "),
        weak=True,
    ),
}
"""By name; the first that matches at the beginning of a line, after its prefix, counts."""

_STARTS = {name: re.compile(form.starts.encode()) for name, form in FORMS.items()}
_GROUPS = ("level", "letter", "process", "pid", "source", "time")


class CompiledForm:
    """A form, prepared for matching bytes."""

    def __init__(self, name: str, form: Form) -> None:
        """Prepare the form of this name."""
        pattern = re.compile(form.pattern.encode())
        self.name = name
        self.match = pattern.match
        self.needles = form.needles
        self.weak = form.weak
        self.cacheable = name in ("vllm", "sglang")
        """The header ends with a bracket and a blank, and depends on its own bytes only."""
        self.brackets = {"glog": 1, "mindie": 6}.get(name, 0)
        """Number of brackets that close in a header that ends with the last and depends on its bytes only; or 0."""
        self.is_error = "code" in pattern.groupindex
        """Every line of this form is an error."""
        self.fields: Callable[[tuple[bytes | None, ...]], tuple[bytes | None, ...]] = itemgetter(
            *(pattern.groupindex.get(group, 0) for group in _GROUPS)
        )
        """From `(None, *match.groups())`: `level`, `letter`, `process`, `pid`, `source`, `time`."""


def forms_beginning_with(start: bytes) -> list[CompiledForm]:
    """Return the forms, in their order, of which a line may begin with these two bytes."""
    return [_compiled(name) for name, starts in _STARTS.items() if starts.match(start)]


@functools.cache
def _compiled(name: str) -> CompiledForm:
    """Return a form, compiled when a line may have it: all of them take a fiftieth of an agent's start."""
    return CompiledForm(name, FORMS[name])
