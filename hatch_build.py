"""Hatch build hook: compiles the Cython modules if there is a C compiler; otherwise the wheel is plain Python."""

import os
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

MODULES = (
    "tracetail.contract._needles",
    "tracetail.loki._entries",
    "tracetail.agent.parsing._scan",
    "tracetail.store.disk._running_sums",
    "tracetail.store.disk._text_filter",
    "tracetail.store.http._streams_json",
    "tracetail.store.ingest._pushed_entries",
)
PLAIN = "TRACETAIL_BUILD_PLAIN"
"""Set in the environment, it makes a wheel for any machine."""


class CompiledLoops(BuildHookInterface[Any]):
    """Compiles in place and adds the result to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extensions; go on without them if that fails."""
        del version
        if os.environ.get(PLAIN):
            return
        try:
            built = _build()
        except Exception as error:  # noqa: BLE001  (no compiler, no headers, …: all of it means plain Python)
            self.app.display_warning(f"the loops are not compiled, agent and store will be slower: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"] += built


def _build() -> list[str]:
    """Build each extension beside its source and return the files. The project is the working directory (PEP 517)."""
    extensions = [
        Extension(module, [module.replace(".", "/") + ".pyx"], extra_compile_args=["-O3", "-g0"])
        for module in MODULES
    ]
    command = build_ext(Distribution({"ext_modules": cythonize(extensions, quiet=True)}))
    command.inplace = True
    command.ensure_finalized()
    command.run()
    return [Path(command.get_ext_filename(module)).as_posix() for module in MODULES]
