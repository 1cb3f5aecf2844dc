"""Known causes: LMDeploy (TurboMind)."""

from tracetail.launcher.engines.causes.cause import Text

CAUSES = ()

HINTS = {
    "gpu_out_of_memory": Text(
        "lower --cache-max-entry-count or --session-len, or use more GPUs (--tp)",
        "减小 --cache-max-entry-count 或 --session-len，或使用更多 GPU（--tp）",
    ),
}
