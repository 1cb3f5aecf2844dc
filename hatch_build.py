"""Builds the compiled loops of the agent where a C compiler is at hand; without one the package is plain Python."""

import os
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

MODULE = "agent.loops._compiled"
SOURCE = "agent/loops/_compiled.pyx"
PLAIN = "TRACETAIL_BUILD_PLAIN"
"""Set in the environment, it makes a wheel for any machine."""


class CompiledLoops(BuildHookInterface[Any]):
    """Compiles in place, and puts what came of it into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension; go on without it if that fails."""
        del version
        if os.environ.get(PLAIN):
            return
        try:
            built = _build()
        except Exception as error:  # noqa: BLE001  (no compiler, no headers, whatever: all of it means plain Python)
            self.app.display_warning(f"the agent's loops are not compiled, it will be slower: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(built)


def _build() -> str:
    """Build the extension beside its source; return its file. The project is the working directory (PEP 517)."""
    extension = Extension(MODULE, [SOURCE], extra_compile_args=["-O3"])
    command = build_ext(Distribution({"ext_modules": cythonize([extension], quiet=True)}))
    command.inplace = True
    command.ensure_finalized()
    command.run()
    return Path(command.get_ext_filename(MODULE)).as_posix()
