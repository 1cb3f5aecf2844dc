"""Known causes: Text Generation Inference."""

from tracetail.launcher.engines.causes.cause import ABOVE, Cause, Line, Rank, Text

CAUSES = (
    Cause(
        "shard_died",
        Text("shard {name}", "分片（shard）{name} "),
        Text("", ""),
        (
            Line(
                b"was signaled to shutdown with signal",
                rb"(?:[\w-]+: )*Shard process was signaled to shutdown with signal (?P<status>\d+)(?: rank=(?P<name>\d+))?",
            ),
        ),
        died=True,
    ),
    Cause(
        "gpu_out_of_memory",
        Text(
            "the GPU's memory is too small for {wanted} prefill tokens",
            "GPU 显存不足以处理 {wanted} 个 prefill token",
        ),
        Text(
            "lower --max-batch-prefill-tokens or --max-total-tokens, or use more shards",
            "减小 --max-batch-prefill-tokens 或 --max-total-tokens，或增加分片",
        ),
        (
            Line(
                b"Not enough memory to handle",
                rb"(?:.{0,200}Server error: |(?:\w+\()*Warmup\(Generation\(\"|)Not enough memory to handle (?P<wanted>\d+) (?:prefill|total) tokens",
            ),
        ),
    ),
    Cause(
        "engine_failed",
        Text("a shard did not start", "分片（shard）启动失败"),
        ABOVE,
        (
            Line(b"ShardCannotStart", rb"(?:Error: )?ShardCannotStart"),
            Line(b"failed to start", rb"(?:[\w-]+: )*Shard \d+ failed to start"),
            Line(b"Shard complete standard error output", rb"(?:[\w-]+: )*Shard complete standard error output"),
        ),
        Rank.CONSEQUENCE,
    ),
    Cause(
        "engine_failed",
        Text("a shard does not answer", "分片（shard）没有响应"),
        ABOVE,
        (
            Line(
                b"Server error: ",
                rb"Request failed during generation: Server error: (?:error trying to connect|transport error)",
            ),
        ),
        Rank.CONSEQUENCE,
    ),
)

HINTS = {
    "gpu_out_of_memory": Text(
        "lower --max-batch-prefill-tokens, --max-total-tokens or --cuda-memory-fraction, or use more shards",
        "减小 --max-batch-prefill-tokens、--max-total-tokens 或 --cuda-memory-fraction，或增加分片",
    ),
    "remote_code_not_trusted": Text(
        "add --trust-remote-code to `args`, if you trust it", "如果信任该模型，在 `args` 中加入 --trust-remote-code"
    ),
}
