# ruff: noqa: INP001  (loaded by mkdocs from its path)
"""Hooks of mkdocs for the site."""

import re
from typing import Any

_LINK_UP = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+)([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Show links to files outside docs/, which work in a checkout, as the paths that they are."""
    depth = page.file.src_uri.count("/")

    def shown(match: re.Match[str]) -> str:
        text, ups, path = match.groups()
        if ups.count("../") <= depth:
            return match[0]
        return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"

    return _LINK_UP.sub(shown, markdown)
