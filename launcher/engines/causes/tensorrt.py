"""Known causes: TensorRT-LLM, and Triton Inference Server."""

from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

_LOADED = (
    rb"\"?(?:failed to load '[^']{1,100}' version \d+: |Invalid argument: ensemble .{1,300} state: )?(?:Internal: )?"
)
"""What Triton puts before a backend's message."""

CAUSES = (
    Cause(
        "engine_build_mismatch",
        Text(
            "the TensorRT engine was built by another version of TensorRT (it has {made}, this one reads {here})",
            "TensorRT 引擎由其他版本的 TensorRT 构建（引擎为 {made}，当前为 {here}）",
        ),
        Text(
            "build it again with the TensorRT-LLM of this image, on this model of GPU",
            "用该镜像中的 TensorRT-LLM，在同型号的 GPU 上重新构建引擎",
        ),
        (
            Line(
                b"Serialized Engine Version: ",
                rb"[\w:.\[\] -]{0,160}\(?Serialization assertion \w+ == \w+ failed\. ?Version tag does not match\. Note: Current Version: (?P<here>\d+), Serialized Engine Version: (?P<made>\d+)",
            ),
        ),
    ),
    Cause(
        "engine_build_mismatch",
        Text("the TensorRT engine cannot be read by this version: {why}", "当前版本无法读取该 TensorRT 引擎：{why}"),
        Text(
            "build it again with the TensorRT-LLM of this image, on this model of GPU",
            "用该镜像中的 TensorRT-LLM，在同型号的 GPU 上重新构建引擎",
        ),
        (
            Line(
                b"Failed to deserialize cuda engine",
                _LOADED
                + rb"(?:unexpected error when creating modelInstanceState: \[TensorRT-LLM\]\[ERROR\] )?Assertion failed: "
                rb"(?P<why>Failed to deserialize cuda engine)",
            ),
            Line(
                b"json.exception.out_of_range.403",
                _LOADED
                + rb"unexpected error when creating modelInstanceState: \[json\.exception\.out_of_range\.403\] "
                rb"(?P<why>key '[^']+' not found)",
            ),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "gpu_out_of_memory",
        Text("the GPU's memory is full", "GPU 显存已满"),
        Text(
            "lower kv_cache_free_gpu_mem_fraction (--kv_cache_free_gpu_memory_fraction), max_batch_size or max_num_tokens, or use "
            "more GPUs",
            "减小 kv_cache_free_gpu_mem_fraction（--kv_cache_free_gpu_memory_fraction）、max_batch_size 或 max_num_tokens，或使用更多 GPU",
        ),
        (
            Line(
                b": out of memory (",
                rb"(?:ERROR: Failed to create instance: )?unexpected error when creating modelInstanceState: "
                rb"\[TensorRT-LLM\]\[ERROR\] CUDA runtime error in .{1,100}: out of memory \(",
            ),
            Line(
                b"due to insufficient GPU memory",
                rb"(?:Failed to initialize executor on rank \d+: )?Executor creation failed due to insufficient GPU memory",
            ),
        ),
    ),
    Cause(
        "model_not_loaded",
        Text("Triton cannot load the model {name}: {why}", "Triton 无法加载模型 {name}：{why}"),
        Text(
            "correct its config.pbtxt, or the files of its version: the lines above say more",
            "修改其 config.pbtxt 或对应版本目录中的文件；上文有更多信息",
        ),
        (
            Line(
                b"failed to load '", rb"\"?failed to load '(?P<name>[^']{1,100})' version \d+: (?P<why>[^\"]{1,250})"
            ),
            Line(b"| UNAVAILABLE: ", rb"(?P<name>\S+) +\| \d+ +\| UNAVAILABLE: (?P<why>[^|]{1,250}?) *\|"),
        ),
        Rank.GENERAL,
    ),
    Cause(
        "engine_failed",
        Text("the server was not made", "服务未能创建"),
        ABOVE,
        (
            Line(b"Executor worker returned error"),
            Line(b"failed to load all models", rb"(?:error: )?creating server: Internal - failed to load all models"),
        ),
        Rank.CONSEQUENCE,
    ),
)
