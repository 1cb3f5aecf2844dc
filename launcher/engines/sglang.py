"""SGLang: uvicorn is up before the model, `/health` is 503 until its warm-up has passed.

Lines of its source are those of 0.5.23 as it is published at PyPI.
"""

from tracetail.contract.secret_file import read_secret
from tracetail.launcher.engines import Cause, Command, Engine, Phase, Service, flag_given
from tracetail.launcher.engines.common import EXCEPTION, MEMORY, MODEL, PORT_HELD, RUNTIME

DEFAULT_HOST = "0.0.0.0"  # noqa: S104  (SGLang itself binds loopback, where the test platform cannot probe it)

CAUSES = (
    *PORT_HELD,
    *MODEL,
    Cause(
        b"Not enough memory. Please try to increase --mem-fraction-static",
        EXCEPTION + rb"Not enough memory\. Please try to increase --mem-fraction-static",
        "no memory is left for the KV cache",
        "raise --mem-fraction-static, or use more GPUs",
        "sglang/srt/model_executor/pool_configurator.py:96",
    ),
    Cause(
        b"is greater than the derived context_length",
        EXCEPTION + rb"Warning: [^(]{1,40} context_length \((?P<wanted>\d+)\) is greater than the derived "
        rb"context_length \((?P<most>\d+)\)\. .* To allow overriding",
        "--context-length {wanted} is more than the model's {most}",
        "lower --context-length",
        "sglang/srt/configs/model_config.py:1299",
    ),
    Cause(
        b"is not supported for the current GPU",
        EXCEPTION + rb"The quantization method (?P<name>\S+) is not supported for the current GPU",
        "this GPU cannot compute the quantization {name}",
        "use another quantization of the model, or a newer GPU",
        "sglang/srt/model_loader/loader.py:262",
    ),
    *MEMORY,
    *RUNTIME,
)


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
    causes=CAUSES,
)
