"""Root causes that all engines share, because Python, PyTorch, NCCL and the model libraries print them.

Lines of vLLM's source are those of 0.32.0; of the others', those of the versions that are installed with it: torch
2.13.0, transformers 5.19.0, huggingface_hub 2.4.0, uvicorn 0.54.0.
"""

from tracetail.launcher.engines import Cause

EXCEPTION = rb"(?:[A-Za-z_][\w.]*(?:Error|Exception): )?"
"""The beginning of a traceback's last line: the exception's name, with or without its module."""

PORT_HELD = (
    Cause(
        b"ddress already in use",
        EXCEPTION + rb"\[Errno 98\] [Aa]ddress already in use",
        "the port is in use",
        "stop the process that holds it, or choose another port",
        "vllm/entrypoints/launchers/launcher.py:348 (the bind that fails with EADDRINUSE)",
        about_port=True,
    ),
    Cause(
        b"error while attempting to bind on address",
        rb"(?:ERROR: +)?\[Errno \d+\] error while attempting to bind on address \((?P<address>[^)]*)\)",
        "the port is in use: {address}",
        "stop the process that holds it, or choose another port",
        "CPython 3.11 Lib/asyncio/base_events.py:1525, logged by uvicorn/server.py:190",
        about_port=True,
    ),
)

MODEL = (
    Cause(
        b"Repo id must be",
        EXCEPTION + rb"Repo id must be (?:in the form|a string).*?: '(?P<path>[^']*)'",
        "the model path does not exist: {path}",
        "give the directory of the model on this machine, or its name at a hub (org/name)",
        "huggingface_hub/utils/_validators.py:134",
    ),
    Cause(
        b"Unrecognized model in",
        EXCEPTION + rb"Unrecognized model in (?P<path>\S+?)\. Should have a `model_type` key",
        "the model's config.json has no model_type: {path}",
        "check that the directory holds the whole model",
        "transformers/models/auto/configuration_auto.py:443",
    ),
    Cause(
        b"does not recognize this architecture",
        EXCEPTION
        + rb"The checkpoint you are trying to load has model type `(?P<type>[^`]*)` but Transformers does not",
        "this Transformers does not know the model type {type}",
        "update transformers, and the engine with it",
        "transformers/models/auto/configuration_auto.py:431",
    ),
    Cause(
        b"does not appear to have a file named",
        EXCEPTION + rb"(?P<path>\S+) does not appear to have a file named (?P<file>[^\s]+?)\.? ",
        "the model has no {file}: {path}",
        "check that the directory holds the whole model",
        "transformers/utils/hub.py:471",
    ),
    Cause(
        b"You are trying to access a gated repo",
        EXCEPTION + rb"You are trying to access a gated repo",
        "the model is gated at its hub",
        "accept its licence there, and give the server HF_TOKEN in `environ`",
        "transformers/utils/hub.py:611",
    ),
    Cause(
        b"to load the files, and couldn't find them",
        EXCEPTION + rb"We couldn't connect to '(?P<url>[^']*)' to load the files",
        "the model is not on this machine, and {url} cannot be reached",
        "download the model first, or check the network and HF_ENDPOINT",
        "transformers/utils/hub.py:621",
    ),
)

MEMORY = (
    Cause(
        b"CUDA out of memory",
        EXCEPTION + rb"CUDA out of memory(?:\. Tried to allocate (?P<size>[\d.]+ \w+))?",
        "the GPU's memory is full (tried to allocate {size})",
        "lower --gpu-memory-utilization, --max-model-len or --max-num-seqs, or end what else uses the GPU",
        "vllm/v1/worker/gpu_model_runner.py:5991; PyTorch's own: c10/cuda/CUDACachingAllocator.cpp, in malloc",
    ),
    Cause(
        b"NPU out of memory",
        EXCEPTION + rb"NPU out of memory",
        "the NPU's memory is full",
        "lower the memory fraction or the sequence length, or use more devices",
        "Ascend/pytorch (no line: it is not in a package) torch_npu/csrc/core/npu/NPUCachingAllocator.cpp, in malloc",
    ),
)

RUNTIME = (
    Cause(
        b"NCCL error",
        EXCEPTION + rb"NCCL error[ :]",
        "the GPUs cannot talk to each other (NCCL)",
        "run again with NCCL_DEBUG=INFO in `environ`; check NCCL_SOCKET_IFNAME and /dev/shm",
        "vllm/distributed/device_communicators/pynccl_wrapper.py:448",
    ),
    Cause(
        b"No module named",
        rb"(?:ModuleNotFoundError: |[\w./+-]+: (?:Error while finding module specification for '[\w.]+' "
        rb"\(ModuleNotFoundError: )?)No module named '?(?P<name>[\w.]+)'?",
        "this Python has no module {name}",
        "check pythonBin: it names the Python of the engine's environment",
        "CPython 3.11 Lib/runpy.py:142 and Lib/importlib/_bootstrap.py:1140",
    ),
    Cause(
        b": error: ",
        rb"[\w./ -]+: error: (?P<message>.{1,200})",
        "the engine does not take its arguments: {message}",
        "correct `args`; the engine's --help lists what it takes",
        "CPython 3.11 Lib/argparse.py:2630",
    ),
    Cause(
        b"Torch not compiled with CUDA enabled",
        EXCEPTION + rb"Torch not compiled with CUDA enabled",
        "this PyTorch is built without CUDA",
        "install the CUDA build into pythonBin's environment",
        "torch/cuda/__init__.py:522",
    ),
)
