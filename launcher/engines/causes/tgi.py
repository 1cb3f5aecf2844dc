"""Known causes: Text Generation Inference."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Rank, Text

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
        "engine_failed",
        Text("a shard did not start", "分片（shard）启动失败"),
        Text("the cause is in the log above", "原因在日志的上文"),
        (
            Line(b"ShardCannotStart", rb"(?:Error: )?ShardCannotStart"),
            Line(b"failed to start", rb"(?:[\w-]+: )*Shard \d+ failed to start"),
            Line(b"Shard complete standard error output", rb"(?:[\w-]+: )*Shard complete standard error output"),
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
