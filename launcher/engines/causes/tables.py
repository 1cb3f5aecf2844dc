"""Which tables of known causes an engine's log is read with, and the engine's own hints."""

import re
from collections.abc import Sequence
from functools import cache

from tracetail.launcher.engines.causes import (
    ascend,
    checkpoint,
    container,
    huggingface,
    llama_cpp,
    lmdeploy,
    memory,
    mindie,
    network,
    program,
    ray,
    sglang,
    slurm,
    tensorrt,
    tgi,
    torch,
    vllm,
)
from tracetail.launcher.engines.causes.cause import Cause, Text

COMMON = (slurm, network, container, memory, checkpoint, huggingface, torch, program)
"""What Python, PyTorch, the model libraries, the system and container runtimes print, whatever the engine."""
_TABLES = {
    "vllm": (vllm, ray, ascend, *COMMON),
    "sglang": (sglang, ray, ascend, *COMMON),
    "mindie": (mindie, ascend, *COMMON),
    "llama.cpp": (llama_cpp, *COMMON),
    "tgi": (tgi, *COMMON),
    "lmdeploy": (lmdeploy, ray, ascend, *COMMON),
    "custom": (vllm, sglang, mindie, llama_cpp, tgi, lmdeploy, tensorrt, ray, ascend, *COMMON),
}
"""The tables with which an engine's log is read; a custom command is often an engine in a container."""
_HINTS = {
    "vllm": vllm.HINTS,
    "sglang": sglang.HINTS,
    "mindie": mindie.HINTS,
    "llama.cpp": llama_cpp.HINTS,
    "tgi": tgi.HINTS,
    "lmdeploy": lmdeploy.HINTS,
}
_MARKS = {
    "sglang": re.compile(rb"server_args=ServerArgs\(|/sglang/|sglang\.launch_server"),
    "mindie": re.compile(rb"mindie|MINDIE_|\[MIE\d"),
    "tgi": re.compile(rb"text_generation_launcher"),
    "lmdeploy": re.compile(rb"lmdeploy|\[TM\]\["),
    "llama.cpp": re.compile(rb"llama_model_load|llama_server|gguf_init_from_file|ggml"),
    "vllm": re.compile(rb"vLLM|/vllm/|\((?:APIServer|EngineCore)"),
}
"""Which engine a custom command runs, by what it prints."""


@cache
def table(engine: str) -> tuple[Cause, ...]:
    """Return the known causes of an engine, the engine's own first."""
    return tuple(cause for module in _TABLES[engine] for cause in module.CAUSES)


def run_by(engine: str, lines: Sequence[bytes]) -> str:
    """Return the engine that printed a log: for `custom`, what its lines show, or an empty text."""
    if engine != "custom":
        return engine
    return next((name for name, mark in _MARKS.items() if any(mark.search(line) for line in lines)), "")


def hints(engine: str, lines: Sequence[bytes] = ()) -> dict[str, Text]:
    """Return the hints, by code, that name an engine's own options. lines: of the log; they show what `custom` runs."""
    return _HINTS.get(run_by(engine, lines), {})


def all_tables() -> dict[str, tuple[Cause, ...]]:
    """Return all tables by name."""
    modules = dict.fromkeys(module for used in _TABLES.values() for module in used)
    return {module.__name__.rpartition(".")[2]: module.CAUSES for module in modules}
