"""The content of a downloaded log: text as the server printed it, or JSON lines with every field."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

import orjson

from tracetail.contract import labels as names
from tracetail.panel.trace.entry import Entry, Key
from tracetail.panel.trace.reader import Page

_PAGE = 4900


async def chunks(
    read: Callable[[Key, int], Awaitable[Page]], start: Key, file_format: Literal["text", "jsonl"]
) -> AsyncIterator[bytes]:
    """Yield the file in chunks. read: returns the page from a key on, with at most this many entries."""
    text = _TextFormat() if file_format == "text" else None
    position = start
    more = True
    while more:
        page = await read(position, _PAGE)
        if text is not None:
            yield b"".join(text.encode(entry) for entry in page.entries)
        else:
            yield b"".join(orjson.dumps(entry.as_json()) + b"\n" for entry in page.entries)
        more = page.more
        if page.entries:
            position = page.entries[-1].key.next
    if text is not None:
        yield text.remainder()


class _TextFormat:
    """Restores the servers' output. The pieces of a cut line are held until its end, so that launches do not mix."""

    def __init__(self) -> None:
        self._unfinished: dict[str, list[str]] = {}

    def encode(self, entry: Entry) -> bytes:
        kind = entry.stream.fields.get(names.METADATA_KIND)
        if kind == "event":
            return b""
        pieces = self._unfinished.setdefault(entry.stream.source, [])
        pieces.append(entry.text)
        if kind == "cut":
            return b""
        line = "".join(pieces) + ("\r" if kind == "redraw" else "\n")
        pieces.clear()
        return line.encode()

    def remainder(self) -> bytes:
        """Return the lines without an end."""
        return "".join(text for pieces in self._unfinished.values() for text in pieces).encode()
