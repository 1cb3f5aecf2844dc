"""SGLang: uvicorn is up before the model, `/health` is 503 until its warm-up has passed.

Lines of its source are those of 0.5.23 as it is published at PyPI.
"""

from tracetail.contract.secret_file import read_secret
from tracetail.launcher.engines import Command, Engine, Phase, Service, flag_given

DEFAULT_HOST = "0.0.0.0"  # noqa: S104  (SGLang itself binds loopback, where the test platform cannot probe it)


def command(service: Service) -> Command:
    """Return SGLang's command line."""
    argv = [service.python_bin, "-m", "sglang.launch_server", "--model-path", service.model_path]
    argv += ["--port", str(service.port), "--host", service.host or DEFAULT_HOST]
    if not flag_given(service.args, "--served-model-name"):
        argv += ["--served-model-name", service.served_name]
    if service.api_key_file:  # SGLang takes its key as a flag only
        argv += ["--api-key", read_secret("apiKeyFile", service.api_key_file)]
    return Command([*argv, *service.args])


ENGINE = Engine(
    name="sglang",
    default_port=8000,
    ready_path="/health",
    models_path="/v1/models",
    completions_path="/v1/completions",
    command=command,
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
