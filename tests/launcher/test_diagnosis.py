"""Root causes are found in real logs and in the texts that the engines' sources print, and not in logged prompts."""

from pathlib import Path

import pytest

from tracetail.launcher import engines
from tracetail.launcher.keeper.diagnosis import diagnose

LOGS = Path(__file__).parents[1] / "data" / "vllm-logs"

# What the installed vLLM 0.32 and its libraries print, with the file and line that prints it.
TEXTS = {
    "vllm/entrypoints/launchers/launcher.py:348": (
        "OSError: [Errno 98] Address already in use",
        "the port is in use",
    ),
    "uvicorn/server.py:190": (
        "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
        "the port is in use: '0.0.0.0', 8000",
    ),
    "huggingface_hub/utils/_validators.py:134": (
        (
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or "
            "'namespace/repo_name': '/data/models/qwen-7b'. Use `repo_type` argument if needed."
        ),
        "the model path does not exist: /data/models/qwen-7b",
    ),
    "vllm/config/model.py:2646": (
        (
            "ValueError: User-specified max_model_len (65536) is greater than the derived max_model_len "
            "(max_position_embeddings=32768 or model_max_length=None in model's config.json). To allow overriding "
            "this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1."
        ),
        "--max-model-len 65536 is more than the model's 32768",
    ),
    "c10/cuda/CUDACachingAllocator.cpp": (
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of "
            "79.14 GiB of which 1.19 GiB is free."
        ),
        "the GPU's memory is full (tried to allocate 2.00 GiB)",
    ),
    "vllm/v1/worker/gpu_model_runner.py:5991": (
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. Please try",
        "the GPU's memory is full (tried to allocate ?)",
    ),
    "vllm/v1/worker/utils.py:763": (
        (
            "ValueError: Free memory on device cuda:0 (3.5/79.14 GiB) on startup is less than desired GPU memory "
            "utilization (0.9, 71.22 GiB). Decrease GPU memory utilization or reduce GPU memory used by other"
        ),
        "only 3.5 of 79.14 GiB are free on cuda:0",
    ),
    "vllm/v1/core/kv_cache_utils.py:1011": (
        (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
            "initializing the engine"
        ),
        "no memory is left for the KV cache",
    ),
    "vllm/v1/core/kv_cache_utils.py:1031": (
        (
            "ValueError: To serve at least one request with the model's max seq len (131072), (16.0 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (9.5 GiB). Based on the available memory"
        ),
        "a sequence of 131072 needs 16.0 GiB of KV cache, 9.5 GiB are there",
    ),
    "vllm/v1/worker/gpu_worker.py:720": (
        "AssertionError: Error in memory profiling. Initial free memory 70.1 GiB, current free memory 72.3 GiB.",
        "another process freed GPU memory while vLLM measured it",
    ),
    "vllm/distributed/device_communicators/pynccl_wrapper.py:448": (
        "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
        "the GPUs cannot talk to each other (NCCL)",
    ),
    "vllm/config/model.py:1548": (
        "ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (8).",
        "28 attention heads cannot be split over 8 GPUs",
    ),
    "vllm/config/parallel.py:1053": (
        "ValueError: World size (8) is larger than the number of available GPUs (4) in this node. If this is",
        "8 GPUs are asked for, 4 are there",
    ),
    "vllm/model_executor/models/registry.py:1206": (
        "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: ...",
        "this vLLM does not know the architecture ['FooForCausalLM']",
    ),
    "transformers/models/auto/configuration_auto.py:431": (
        (
            "ValueError: The checkpoint you are trying to load has model type `foo` but Transformers does not "
            "recognize this architecture. This could be because of an issue with the checkpoint"
        ),
        "this Transformers does not know the model type foo",
    ),
    "transformers/models/auto/configuration_auto.py:443": (
        "ValueError: Unrecognized model in /data/models/x. Should have a `model_type` key in its config.json.",
        "the model's config.json has no model_type: /data/models/x",
    ),
    "transformers/utils/hub.py:471": (
        "OSError: /data/models/x does not appear to have a file named preprocessor_config.json. Checkout 'https://…'",
        "the model has no preprocessor_config.json: /data/models/x",
    ),
    "transformers/utils/hub.py:611": (
        "OSError: You are trying to access a gated repo.",
        "the model is gated at its hub",
    ),
    "transformers/utils/hub.py:621": (
        (
            "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in "
            "the cached files."
        ),
        "the model is not on this machine, and https://huggingface.co cannot be reached",
    ),
    "vllm/transformers_utils/config.py:412": (
        (
            "RuntimeError: Failed to load the model config. If the model is a custom model not yet available in the "
            "HuggingFace transformers library, consider setting `trust_remote_code=True` in LLM or using the"
        ),
        "the model brings code of its own, which vLLM does not run unasked",
    ),
    "vllm/transformers_utils/config.py:849": (
        "ValueError: Invalid repository ID or local directory specified: '/data/models/empty'.",
        "the directory holds no model that vLLM can read: /data/models/empty",
    ),
    "vllm/platforms/cuda.py:649": (
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU",
        "this GPU cannot compute in bfloat16",
    ),
    "vllm/model_executor/model_loader/default_loader.py:260": (
        "RuntimeError: Cannot find any model weights with `/data/models/x`",
        "the model has no weights: /data/models/x",
    ),
    "vllm/config/model.py:1454": (
        "ValueError: Unknown quantization method: fp3. Must be one of ['awq', 'fp8'].",
        "this vLLM does not know the quantization fp3",
    ),
    "vllm/config/device.py:56": (
        "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG`",
        "vLLM finds no device",
    ),
    "vllm/v1/engine/core_client.py:743": (
        "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight",
        "the engine did not come up in time",
    ),
    "vllm/v1/executor/multiproc_executor.py:316": (
        "Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.",
        "worker VllmWorker-1 died with exit code -9",
    ),
    "vllm/v1/engine/core_client.py:818": (
        "[shutdown] MPClient: engine core exited unexpectedly; starting cleanup",
        "the engine process died",
    ),
    "CPython Lib/runpy.py:142": (
        (
            "/usr/bin/python3: Error while finding module specification for 'vllm.entrypoints.openai.api_server' "
            "(ModuleNotFoundError: No module named 'vllm')"
        ),
        "this Python has no module vllm",
    ),
    "CPython Lib/argparse.py:2630": (
        "vllm serve: error: unrecognized arguments: --max-modellen 512",
        "the engine does not take its arguments: unrecognized arguments: --max-modellen 512",
    ),
}
HEADERS = {
    "bare": "",
    "a child's": "(EngineCore pid=5223) ",
    "new": "[traceId=t1 instanceId=i1] (EngineCore_DP0 pid=71) ERROR 11-22 13:12:10 [core.py:700] ",
    "old": "(Worker_TP1 pid=72) [traceId=t1 instanceId=i1] ERROR 11-22 13:12:10 [multiproc_executor.py:500] ",
    "torchrun's": "[rank1]: ",
    "prefixless": "ERROR 11-22 13:12:10 [engine.py:1] ",
}
INFO_HEADERS = {
    "new": "[traceId=t1 instanceId=i1] (APIServer pid=71) INFO 11-22 13:12:10 [request_logger.py:65] ",
    "old": "(APIServer pid=71) [traceId=t1 instanceId=i1] DEBUG 11-22 13:12:10 [request_logger.py:65] ",
}
VLLM = engines.load("vllm")


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("source", TEXTS)
def test_a_text_of_the_engines_source_names_its_cause(source, header):
    text, cause = TEXTS[source]
    found = diagnose(VLLM, [b"Traceback (most recent call last):", (HEADERS[header] + text).encode()])
    assert found is not None
    assert found.cause == cause
    assert found.hint
    assert text in found.evidence[0]


@pytest.mark.parametrize("source", TEXTS)
def test_the_same_text_in_a_logged_prompt_names_no_cause(source):
    text = TEXTS[source][0]
    prompts = [
        f"Received request cmpl-1: prompt: {text!r}, params: SamplingParams(n=1)",
        f"prompt: {text}",
        f'"{text}"',
    ]
    lines = [(header + prompt).encode() for header in [*INFO_HEADERS.values(), ""] for prompt in prompts]
    # A prompt of several lines: vLLM repeats the header on each.
    lines += [(header + text).encode() for header in INFO_HEADERS.values()]
    lines += [b'{"levelname": "INFO", "message": "Received request:\\n' + text.replace('"', "'").encode() + b'"}']
    lines += [f"[2026-11-22 13:12:10 TP0] Receive: obj=GenerateReqInput(text={text!r})".encode()]
    for engine in engines.NAMES:
        assert diagnose(engines.load(engine), lines) is None


def test_a_json_line_names_its_cause():
    line = b'{"levelname": "ERROR", "message": "EngineCore failed.\\nTraceback:\\nValueError: No available memory'
    found = diagnose(VLLM, [line + b' for the cache blocks. Try"}'])
    assert found is not None
    assert found.cause == "no memory is left for the KV cache"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("engine-crash", "the engine process died"),
        ("model-not-found", "the model path does not exist: /data/models/qwen-7b"),
        ("healthy-start", None),
        ("json-formatter", None),
        ("request-logging", None),
    ],
)
def test_real_logs(name, cause):
    found = diagnose(VLLM, (LOGS / f"{name}.log").read_bytes().split(b"\n"))
    assert (found and found.cause) == cause


def test_the_first_cause_wins_over_its_consequences():
    lines = [
        TEXTS[source][0].encode() for source in ("vllm/v1/core/kv_cache_utils.py:1011", "vllm/config/device.py:56")
    ]
    consequence = b"RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    found = diagnose(VLLM, [consequence, *lines])
    assert found is not None
    assert found.cause == "no memory is left for the KV cache"
    only = diagnose(VLLM, [consequence])
    assert only is not None
    assert only.cause == "the engine process failed"


# What SGLang 0.5.23 prints, with the file and line that prints it.
SGLANG_TEXTS = {
    "sglang/srt/model_executor/pool_configurator.py:96": (
        "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static. Current value: 0.9",
        "no memory is left for the KV cache",
    ),
    "sglang/srt/configs/model_config.py:1299": (
        (
            "ValueError: Warning: User-specified context_length (65536) is greater than the derived context_length "
            "(32768). This may lead to incorrect model outputs or CUDA errors. Note that the derived context_length "
            "may differ from max_position_embeddings in the model's config. To allow overriding this maximum, set "
            "the env var SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1"
        ),
        "--context-length 65536 is more than the model's 32768",
    ),
    "sglang/srt/model_loader/loader.py:262": (
        "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 80.",
        "this GPU cannot compute the quantization fp8",
    ),
}


@pytest.mark.parametrize("source", SGLANG_TEXTS)
def test_sglang_names_its_causes(source):
    text, cause = SGLANG_TEXTS[source]
    sglang = engines.load("sglang")
    found = diagnose(sglang, [b"[2026-11-22 13:12:10 TP0] " + text.encode()])
    assert found is not None
    assert found.cause == cause
    assert source in {cause.source for cause in sglang.causes}
    assert (
        diagnose(sglang, [f"[2026-11-22 13:12:10 TP0] Receive: obj=GenerateReqInput(text={text!r})".encode()]) is None
    )


def test_sglang_only_warns_of_a_context_length_that_it_is_allowed_to_use():
    text = SGLANG_TEXTS["sglang/srt/configs/model_config.py:1299"][0].partition(" To allow")[0]
    assert diagnose(engines.load("sglang"), [b"[2026-11-22 13:12:10] " + text.encode()]) is None


@pytest.mark.parametrize("name", engines.NAMES, ids=lambda name: f"engine-{name}")
def test_every_cause_cites_its_source_and_matches_only_from_the_beginning(name):
    for cause in (*engines.load(name).causes, *engines.load(name).consequences):
        assert cause.source
        assert not cause.pattern.startswith(b".*")
