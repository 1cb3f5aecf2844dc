"""Wraps text in which a character may take two columns, as Chinese does, and in which words are not spaced."""

import re

_PIECE = re.compile(r"[!-~]+|\s+|.")
"""What stays together: a run of ASCII; else a single character."""
_NOT_FIRST = "，。；：、）》」』”？"
_NOT_LAST = "（《「『“"


def wrap(text: str, width: int) -> str:
    """Return text in lines of at most so many columns. Punctuation stays with the character that it belongs to.

    Runs of ASCII stay whole, so that options and addresses can be copied, even where one is longer than a line.
    """
    from rich.cells import cell_len

    lines, line = [], ""
    for piece in _pieces(" ".join(text.split())):
        if line and cell_len(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece if line else piece.lstrip()
    return "\n".join([*lines, line.rstrip()])


def _pieces(text: str) -> list[str]:
    found: list[str] = []
    for match in _PIECE.finditer(text):
        piece = match[0]
        if found and (piece in _NOT_FIRST or found[-1][-1] in _NOT_LAST):
            found[-1] += piece
        else:
            found.append(piece)
    return found
