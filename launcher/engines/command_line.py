"""Recognises an engine's own command line, as an image's entrypoint has it: `vllm serve …`.

Sources: the command line references of vLLM 0.32 and SGLang 0.5.23 at PyPI.
"""

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

from tracetail.launcher import engines
from tracetail.launcher.engines import flag_value

_OWN_PORTS = {"vllm": 8000, "sglang": 30000, "mindie": 1025}
"""Where an engine listens that gets no port."""
_MODEL_FLAGS = {"vllm": ("--model",), "sglang": ("--model-path", "--model"), "mindie": ()}


class Recognised(NamedTuple):
    """What a command line says."""

    engine: str
    """One of engines.NAMES; `custom` for a command that is no engine's."""
    model_path: str = ""
    served_name: str = ""
    """The name under which the API serves it; "" where that is not known."""
    port: int | None = None
    host: str = ""


def recognise(argv: Sequence[str], engine: str = "") -> Recognised:
    """Return what a command line says. engine: what it runs, where that is known better; "" to recognise it."""
    name = engine or _engine_of(argv)
    if name == "custom":
        port = flag_value(argv, "--port") or ""
        return Recognised(name, port=int(port) if port.isascii() and port.isdigit() else None)
    port = flag_value(argv, "--port") or ""
    model = next((value for flag in _MODEL_FLAGS[name] if (value := flag_value(argv, flag))), "")
    if name == "vllm" and not model:
        model = _positional_model(argv)
    return Recognised(
        name,
        model,
        flag_value(argv, "--served-model-name") or model,
        int(port) if port.isascii() and port.isdigit() else _OWN_PORTS[name],
        flag_value(argv, "--host") or "",
    )


def _engine_of(argv: Sequence[str]) -> str:
    """Return the engine whose command or module is among the first words; `custom` if none is."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        program = PurePath(word).name
        if program == "mindieservice_daemon":
            return "mindie"
        if program in ("vllm", "sglang") and following == "serve":
            return program
        if word == "-m" and following.split(".")[0] in ("vllm", "sglang"):
            return following.split(".")[0]
    return "custom"


def _positional_model(argv: Sequence[str]) -> str:
    """Return the model of `vllm serve MODEL …`."""
    words = list(argv)
    if "serve" in words:
        following = words[words.index("serve") + 1 :][:1]
        if following and not following[0].startswith("-"):
            return following[0]
    return ""


assert set(_OWN_PORTS) | {"custom"} == set(engines.NAMES)
