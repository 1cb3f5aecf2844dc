"""Known causes: LMDeploy (TurboMind)."""

from tracetail.launcher.engines.causes.cause import Cause, Line, Rank, Text

CAUSES = (
    Cause(
        "gpu_fault",
        Text("TurboMind failed on the GPU: {why}", "TurboMind 在 GPU 上出错：{why}"),
        Text(
            "check dmesg for Xid errors, the driver, and that this build is for the GPU",
            "查看 dmesg 中的 Xid 错误、驱动，以及程序是否适用于该 GPU",
        ),
        (Line(b"CUDA runtime error: ", rb"CUDA runtime error: (?!out of memory)(?P<why>[\w ]{3,80})"),),
        Rank.GENERAL,
    ),
)

HINTS = {
    "gpu_out_of_memory": Text(
        "lower --cache-max-entry-count or --session-len, or use more GPUs (--tp)",
        "减小 --cache-max-entry-count 或 --session-len，或使用更多 GPU（--tp）",
    ),
}
