"""Builds a library that replaces NVML's, for tests of machines with devices."""

import subprocess
from pathlib import Path

STUB = Path(__file__).with_name("nvml_stub.c")


def build_stub(directory):
    """Compile the library into a directory; return its path. Needs cc. The file $STUB_NVML holds what it returns."""
    library = directory / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(library), str(STUB)], check=True)
    return library
