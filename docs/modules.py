# ruff: noqa: INP001, T201  (a script)
"""Writes the list of modules, from their docstrings: `python docs/modules.py > docs/modules.md`."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("contract", "loki", "launcher", "agent", "store", "panel", "client", "testing", "assistant", "cli")
_HEAD = """\
# Modules

One line for each module, in the order of the layers ([architecture](architecture.md#layers)): the beginning of its
docstring. `python docs/modules.py > docs/modules.md` writes this page; a test checks that it is complete.
"""


def modules(part: str) -> list[Path]:
    """Return the modules of a part, those for the browser included: those in its own directory first."""
    found = [path for pattern in ("*.py", "*.pyx", "*.js") for path in (ROOT / part).rglob(pattern)]
    found = [path for path in found if "vendor" not in path.parts]
    return sorted(
        found, key=lambda path: (path.parent != ROOT / part, path.parent, path.name != "__init__.py", path.name)
    )


def first_line(path: Path) -> str:
    """Return the first paragraph of a docstring; of JavaScript, the first sentence of the opening comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".js":
        comment = [line.strip("/* ") for line in text[: text.find("\n\n")].splitlines()]
        return re.split(r"(?<=[.]) ", " ".join(line for line in comment if line))[0]
    quoted = re.search(r'"""(.*?)"""', text, re.DOTALL)  # by hand: a Cython module is not valid Python
    return " ".join(quoted[1].partition("\n\n")[0].split()) if quoted else ""


def render() -> str:
    """Return the page."""
    lines = [_HEAD]
    for part in PARTS:
        lines += [f"\n## {part}\n", f"\n{first_line(ROOT / part / '__init__.py')}\n\n", "| module | |\n|---|---|\n"]
        for path in modules(part):
            if path != ROOT / part / "__init__.py":
                shown = path.relative_to(ROOT)
                name = f"{shown.parent}/" if path.name == "__init__.py" else str(shown)
                about = first_line(path).replace("|", "&#124;").replace("<", "&lt;")
                lines.append(f"| `{name}` | {about} |\n")
    return "".join(lines)


if __name__ == "__main__":
    print(render(), end="")
