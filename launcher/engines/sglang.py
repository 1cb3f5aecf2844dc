"""SGLang: uvicorn is up before the model, `/health` is 503 until its warm-up has passed.

Lines of its source are those of 0.5.23 as it is published at PyPI.
"""

from tracetail.contract.secret_file import read_secret
from tracetail.launcher.engines import Command, Engine, Phase, Service, flag_given
from tracetail.launcher.engines.nodes import node_args

DEFAULT_HOST = "0.0.0.0"  # noqa: S104  (SGLang itself binds loopback, where the test platform cannot probe it)


KEY_VARIABLE = "TRACETAIL_API_KEY"
_WITH_KEY = f'exec "$@" --api-key "${KEY_VARIABLE}"'


def command(service: Service) -> Command:
    """Return SGLang's command line."""
    argv = _without_key(service)
    if service.api_key_file:  # SGLang takes its key as a flag only
        argv += ["--api-key", read_secret("apiKeyFile", service.api_key_file)]
    return Command([*argv, *_given(service)])


def container_command(service: Service) -> Command:
    """Return what runs in a container: lmsysorg/sglang has no entrypoint. A shell in it puts the API key in.

    So the key is neither in the command line of the container runtime's client nor in what it shows of a container.
    """
    argv = [*_without_key(service), *_given(service)]
    if not service.api_key_file:
        return Command(argv)
    key = read_secret("apiKeyFile", service.api_key_file)
    return Command(["sh", "-c", _WITH_KEY, "sglang", *argv], {KEY_VARIABLE: key})


def _without_key(service: Service) -> list[str]:
    argv = [service.python_bin, "-m", "sglang.launch_server", "--model-path", service.model_path]
    if service.port is not None:  # a follower has none
        argv += ["--port", str(service.port)]
    argv += ["--host", service.host or DEFAULT_HOST]
    if not flag_given(service.args, "--served-model-name"):
        argv += ["--served-model-name", service.served_name]
    return argv


def _given(service: Service) -> list[str]:
    return [*node_args("sglang", service.args, service.nodes, service.node_rank), *service.args]


ENGINE = Engine(
    name="sglang",
    default_port=8000,
    ready_path="/health",
    models_path="/v1/models",
    completions_path="/v1/completions",
    command=command,
    container_command=container_command,
    phases=(
        Phase("arguments read", b"] server_args="),
        Phase("model load begun", b"Load weight begin."),
        Phase("model loaded", b"Load weight end."),
        Phase("cache sized", b"KV Cache is allocated."),
        Phase("graphs captured", b"Capture cuda graph end."),  # of older versions
        Phase("graphs captured", b" CUDA graph end. "),
        Phase("server started", b"Uvicorn running on "),
        Phase("warmed up", b"The server is fired up and ready to roll!"),
    ),
)
