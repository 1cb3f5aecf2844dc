"""Joins a JavaScript module and all that it imports into one module.

A browser that has to ask for eighty files over HTTP/1.1 shows the first line of a log twice as late.

Each module becomes a function that returns what it exports, in the order of their imports:

    const module_0 = (() => {
    …
    return { paint };
    })();

Only these forms are known, each at the start of a line, and no module may import one that imports it. Anything else
raises a JoinError:

    import { name, name as other } from "./path.js";
    export class|function|async function|const name …
    export { name, name as other };
    export { name } from "./path.js";   in the first module only
"""

import re
from collections.abc import Iterator
from pathlib import Path

_STATEMENT = re.compile(r"^(?:import|export)\b", re.MULTILINE)
_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
_FORWARD = re.compile(r'^export \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
_LIST = re.compile(r"^export \{([^}]*)\};$", re.MULTILINE)
_DECLARATION = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)


class JoinError(ValueError):
    """A module imports or exports in a way that is not known here."""


def join(entry: Path) -> str:
    """Return one module that does what the module `entry` does. Raises OSError and JoinError."""
    return "".join(_Joined(entry).parts)


def imports_of(text: str) -> list[str]:
    """Return the relative paths that a module imports or forwards from."""
    return [path for _, path in [*_IMPORT.findall(text), *_FORWARD.findall(text)]]


class _Joined:
    """What becomes of an entry and its imports."""

    def __init__(self, entry: Path) -> None:
        self.parts: list[str] = []
        self._names: dict[Path, str] = {}
        self._waiting: list[Path] = []
        self._root = entry.parent
        self._add(entry.resolve(), is_entry=True)

    def _add(self, path: Path, *, is_entry: bool = False) -> None:
        if path in self._waiting:
            raise JoinError(f"{path} imports itself by way of {self._waiting[-1]}")
        text = path.read_text(encoding="utf-8")
        self._waiting.append(path)
        for name in imports_of(text):
            target = (path.parent / name).resolve()
            if target not in self._names:
                self._add(target)
        self._waiting.remove(path)

        def imported(match: re.Match[str]) -> str:
            return f"const {{{_renamed(match[1])}}} = {self._names[(path.parent / match[2]).resolve()]};"

        body = _IMPORT.sub(imported, text)
        if is_entry:
            self.parts.append(_FORWARD.sub(lambda match: f"{imported(match)}\nexport {{{match[1]}}};", body))
            return
        exported = list(_exports(body))
        body = _DECLARATION.sub("", _LIST.sub("", body))
        if _STATEMENT.search(body):
            raise JoinError(f"{path} imports or exports in a way that is not known")
        self._names[path] = name = f"module_{len(self._names)}"
        about = path.relative_to(self._root.resolve()).as_posix()
        returned = ", ".join(exported)
        self.parts.append(f"// --- {about}\nconst {name} = (() => {{\n{body}\nreturn {{ {returned} }};\n}})();\n")


def _renamed(names: str) -> str:
    """Return the names of an import as those of a pattern: `a as b` is `a: b`."""
    return re.sub(r"\s+as\s+", ": ", names)


def _exports(text: str) -> Iterator[str]:
    """Yield what a module exports, as properties of an object."""
    yield from _DECLARATION.findall(text)
    for names in _LIST.findall(text):
        for name in filter(None, (name.strip() for name in names.split(","))):
            inner, _, outer = name.partition(" as ")
            yield f"{outer}: {inner}" if outer else inner
