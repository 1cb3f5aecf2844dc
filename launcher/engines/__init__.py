"""What tracetail knows about each inference engine: one file per engine.

An engine's file builds its command, and defines what ready means and which lines of its log end a phase of the start;
`causes/` has the lines that name the cause of a failure. The keeper imports these files, so they import the standard
library only.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

NAMES = ("vllm", "sglang", "mindie", "custom")


class Container(Protocol):
    """The container in which a server runs, as far as an engine asks."""

    @property
    def image(self) -> str: ...  # noqa: D102  (the parameters' own documentation)


class Service(Protocol):
    """The parameters of a launch from which an engine builds its command."""

    @property
    def model_name(self) -> str: ...  # noqa: D102  (the parameters' own documentation)
    @property
    def served_name(self) -> str: ...  # noqa: D102
    @property
    def model_path(self) -> str: ...  # noqa: D102
    @property
    def port(self) -> int | None: ...  # noqa: D102
    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def python_bin(self) -> str: ...  # noqa: D102
    @property
    def command(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def args(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def devices(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def environ(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def api_key_file(self) -> str: ...  # noqa: D102
    @property
    def nodes(self) -> int | None: ...  # noqa: D102
    @property
    def node_rank(self) -> int | None: ...  # noqa: D102
    @property
    def container(self) -> Container | None: ...  # noqa: D102


class Command(NamedTuple):
    """A command to run."""

    argv: list[str]
    """`{launchDir}` in a word, or in a value of environ, is replaced by the launch's directory."""
    environ: Mapping[str, str] = MappingProxyType({})
    files: Mapping[str, str] = MappingProxyType({})
    """Files to write into the launch's directory first: name and content. In a container they have the same path."""


class EngineError(ValueError):
    """An engine's command cannot be built; the message says what to change."""


class Phase(NamedTuple):
    """A step of the start, which ends when its line is printed."""

    name: str
    anchor: bytes
    """Bytes that only this line contains."""


class Engine(NamedTuple):
    """One engine."""

    name: str
    default_port: int | None
    ready_path: str
    models_path: str
    """Where the engine lists its models; empty if it does not."""
    completions_path: str
    """Where the engine completes a prompt, as OpenAI does; empty if it does not."""
    command: Callable[[Service], Command]
    container_command: Callable[[Service], Command]
    """What runs in a container, behind the entrypoint of its image."""
    devices_variable: str = "CUDA_VISIBLE_DEVICES"
    ready_when: str = "http"
    phases: Sequence[Phase] = ()


def load(name: str) -> Engine:
    """Return the engine of this name, one of NAMES."""
    engine = importlib.import_module(f"tracetail.launcher.engines.{name}").ENGINE
    assert isinstance(engine, Engine)
    return engine


def is_ascend_image(service: Service) -> bool:
    """Return whether the service runs in an image for Ascend NPUs, as quay.io/ascend/vllm-ascend."""
    return service.container is not None and "ascend" in service.container.image.lower()


def flag_given(args: Sequence[str], *names: str) -> bool:
    """Return whether args contain one of these flags, as `--flag value` or `--flag=value`."""
    return any(arg == name or arg.startswith(name + "=") for arg in args for name in names)


def flag_value(args: Sequence[str], name: str) -> str | None:
    """Return the value of a flag in args; None if it is not given."""
    for index, arg in enumerate(args):
        if arg.startswith(name + "="):
            return arg.removeprefix(name + "=")
        if arg == name and index + 1 < len(args):
            return args[index + 1]
    return None


def serves_tls(argv: Sequence[str]) -> bool:
    """Return whether a command has uvicorn's flag for TLS, as vLLM and SGLang have it, or llama.cpp's."""
    return any(flag_value(argv, name) for name in ("--ssl-certfile", "--ssl-cert-file"))


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return template with each `{name}` of values replaced; other braces are kept."""
    for key, value in values.items():
        template = template.replace("{" + key + "}", value)
    return template
