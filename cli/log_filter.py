"""Chooses lines here instead of in Loki: those of local files, and those with lines around them."""

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

import re2

from tracetail.cli.errors import BAD_USAGE, fail
from tracetail.contract import labels as names
from tracetail.contract.request_ids import request_id_pattern
from tracetail.panel.trace.entry import Entry


class LineFilter(NamedTuple):
    """Selects lines by level and text."""

    levels: tuple[str, ...]
    pattern: "re2._Regexp[str] | None"
    request_id: "re2._Regexp[str] | None" = None

    @classmethod
    def of(
        cls,
        levels: tuple[str, ...],
        grep: str | None,
        regex: str | None,
        *,
        ignore_case: bool,
        request_id: str | None = None,
    ) -> "LineFilter":
        """Return a filter.

        Args:
            levels: of the lines; empty for all.
            grep: a text that they contain.
            regex: what they match, in RE2's syntax; exits with status 2 if it is not.
            ignore_case: for grep and regex.
            request_id: of the request that they are about, as the client sent it or as the engine prints it.

        """
        request = re2.compile(request_id_pattern(request_id)) if request_id else None
        text = regex if regex is not None else re2.escape(grep) if grep is not None else None
        if text is None:
            return cls(levels, None, request)
        options = re2.Options()
        options.case_sensitive = not ignore_case
        options.log_errors = False
        try:
            return cls(levels, re2.compile(text, options), request)
        except re2.error as error:
            reason = error.args[0]
            fail(f"--regex {regex!r}: {reason.decode() if isinstance(reason, bytes) else reason}", BAD_USAGE)

    def matches(self, entry: Entry) -> bool:
        """Return whether a line is selected."""
        if self.levels and entry.stream.fields.get(names.METADATA_LEVEL) not in self.levels:
            return False
        if self.request_id is not None:
            request_id = entry.stream.fields.get(names.METADATA_REQUEST_ID, "")
            if self.request_id.fullmatch(request_id) is None:
                return False
        return self.pattern is None or self.pattern.search(entry.text) is not None


class InContext(NamedTuple):
    """A line of those that are wanted, or one around it."""

    entry: Entry
    is_wanted: bool


async def with_context(
    entries: AsyncIterator[Entry] | Iterable[Entry], wanted: LineFilter, count: int
) -> AsyncIterator[InContext | None]:
    """Yield the lines that are wanted, each with lines of its log around it, and None where lines are left out.

    count: how many lines before and after each; without any there is no None either.
    """
    before: dict[str, deque[Entry]] = {}
    following: dict[str, int] = {}
    skipped: set[str] = set()
    printed = False
    async for entry in _each(entries):
        source = entry.stream.source
        recent = before.setdefault(source, deque(maxlen=count))
        if wanted.matches(entry):
            if count and printed and source in skipped:
                yield None
            skipped.discard(source)
            for one in recent:
                yield InContext(one, False)
            recent.clear()
            yield InContext(entry, True)
            printed = True
            following[source] = count
        elif following.get(source, 0) > 0:
            following[source] -= 1
            yield InContext(entry, False)
        else:
            if len(recent) == count:
                skipped.add(source)
            if count:
                recent.append(entry)


async def _each(entries: AsyncIterator[Entry] | Iterable[Entry]) -> AsyncIterator[Entry]:
    if isinstance(entries, AsyncIterator):
        async for entry in entries:
            yield entry
    else:
        for entry in entries:
            yield entry
