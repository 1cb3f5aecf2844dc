"""Reads and writes that transfer less than was asked for, or are interrupted: a library for LD_PRELOAD."""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("torn_io.c")


class TornIO:
    """The compiled library, and the environment of a program whose reads and writes are torn. Needs cc."""

    def __init__(self, directory: Path, seed: int, *parts: str | Path, again: str = "") -> None:
        """Compile the library into a directory.

        parts: of the paths of files that are chosen. again: the same, of those whose reads fail by EAGAIN, too.
        """
        library = directory / "torn_io.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE], check=True)
        self._count = directory / "torn"
        self.environ = {
            "LD_PRELOAD": str(library),
            "TORN_IO": ":".join(map(str, parts)),
            "TORN_AGAIN": again,
            "TORN_SEED": str(seed),
            "TORN_COUNT": str(self._count),
        }

    @property
    def count(self) -> int:
        """How many calls were torn."""
        return self._count.stat().st_size if self._count.exists() else 0
