"""A whole log as a file: text as the server printed it, or JSON lines with all that is known of each."""

from collections.abc import AsyncIterator, Awaitable, Callable

import orjson

from tracetail.contract import labels as names
from tracetail.panel.trace.entry import Entry, Key
from tracetail.panel.trace.reader import Page

TEXT = "text"
JSONL = "jsonl"
_PAGE = 4900


async def pages(read: Callable[[Key, int], Awaitable[Page]], start: Key, form: str) -> AsyncIterator[bytes]:
    """Yield the log piece by piece. read returns the page from a place on, of at most so many lines."""
    writer = _TextWriter() if form == TEXT else None
    position = start
    more = True
    while more:
        page = await read(position, _PAGE)
        if writer is not None:
            yield b"".join(writer.write(entry) for entry in page.entries)
        else:
            yield b"".join(orjson.dumps(entry.as_json()) + b"\n" for entry in page.entries)
        more = page.more
        if page.entries:
            position = page.entries[-1].key.next
    if writer is not None:
        yield writer.rest()


class _TextWriter:
    """Puts the servers' output together again; pieces of a cut line wait for its end, so that launches do not mix."""

    def __init__(self) -> None:
        self._unfinished: dict[str, list[str]] = {}

    def write(self, entry: Entry) -> bytes:
        kind = entry.stream.fields.get(names.METADATA_KIND)
        if kind == "event":
            return b""
        waiting = self._unfinished.setdefault(entry.stream.source, [])
        waiting.append(entry.text)
        if kind == "cut":
            return b""
        line = "".join(waiting) + ("\r" if kind == "redraw" else "\n")
        waiting.clear()
        return line.encode()

    def rest(self) -> bytes:
        """Return what had no end."""
        return "".join(text for waiting in self._unfinished.values() for text in waiting).encode()
