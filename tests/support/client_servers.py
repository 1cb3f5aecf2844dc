"""Servers for the tests of the client: the sample server, which prints what vLLM prints, and one that fails."""

import sys
from pathlib import Path

SAMPLE = Path(__file__).parents[2] / "examples" / "sample_server.py"
SERVER = {
    "model_name": "m",
    "command": [sys.executable, str(SAMPLE), "--port", "{port}", "--model", "{modelName}", "--load-seconds", "0"],
    "host": "127.0.0.1",
    "port": 0,
}
"""What starts a sample server."""
OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB "
    "of which 1.56 GiB is free."
)
"""As in tests/data/known-causes/memory.toml."""
FAILING = {"model_name": "m", "command": ["sh", "-c", f"echo '{OUT_OF_MEMORY}'; exit 1"], "ready_when": "log:never"}
