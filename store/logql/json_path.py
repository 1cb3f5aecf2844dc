"""Parses the expressions of the json parser, such as `a.b[0]["c"]`."""

import functools
import re

from tracetail.store.logql.tree import LogQLError

_PATH_PART = re.compile(r'\.?([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]|\["((?:[^"\\]|\\.)*)"\]')


@functools.lru_cache(maxsize=256)
def json_path(expression: str) -> tuple[str | int, ...]:
    """Return the keys and indices of a JSON expression such as `a.b[0]["c"]`. Raises LogQLError."""
    path: list[str | int] = []
    position = 0
    while position < len(expression):
        match = _PATH_PART.match(expression, position)
        if match is None or (position == 0 and expression.startswith(".")):
            break
        name, index, quoted = match.groups()
        path.append(int(index) if index else re.sub(r"\\(.)", r"\1", quoted) if name is None else name)
        position = match.end()
    if not path or position < len(expression):
        raise LogQLError(f"parse error : stage '| json': cannot parse expression [{expression}]")
    return tuple(path)
