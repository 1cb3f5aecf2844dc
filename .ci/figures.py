"""Prints sizes of the code: its longest files and functions, and the number of import contracts.

For the eye, not a limit: python .ci/figures.py
"""

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.name for path in (ROOT / "tracetail").iterdir() if path.is_symlink())
SHOWN = 3


def files(suffix: str, *directories: str) -> list[Path]:
    """Return the files under version control with this suffix, without those of others."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *directories], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [Path(name) for name in listed.stdout.split("\0") if name.endswith(suffix) and "/vendor/" not in name]


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the length in lines and the place of each function of a file."""
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{path}:{node.lineno} {node.name}"


def length(path: Path) -> tuple[int, str]:
    """Return a file's length in lines, and its name."""
    return len((ROOT / path).read_text(encoding="utf-8").splitlines()), str(path)


def show(title: str, found: list[tuple[int, str]]) -> None:
    """Print how many there are, and the longest."""
    print(f"{title}: {len(found)}, {sum(lines for lines, _ in found)} lines; the longest:")
    for lines, name in sorted(found, reverse=True)[:SHOWN]:
        print(f"  {lines:5} {name}")


python = files(".py", *PACKAGES)
tests = files(".py", "tests")
show("Python files", [length(path) for path in python])
show("Python functions", [found for path in python for found in functions(path)])
show("browser modules", [length(path) for path in files(".js", "panel/static")])
show("test files", [length(path) for path in tests])
contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
print(f"import contracts: {len(contracts)}")
