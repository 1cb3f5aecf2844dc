"""A line of a launch's log, and which lines of it are wanted."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, TypedDict

from tracetail.contract.since import FORMS, since_ns

Level = Literal["debug", "info", "warning", "error", "critical"]
LEVELS: tuple[Level, ...] = ("debug", "info", "warning", "error", "critical")
"""In increasing severity."""
Moment = datetime | timedelta | str
"""A time: a datetime (of this machine's zone if it has none), an age, or a text as of `tracetail logs --since`."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line as the server printed it, or an event of its launch."""

    id: str
    """Its position in the log, which is unique."""
    time_ns: int
    """When it was printed, in nanoseconds since the epoch."""
    text: str
    launch_id: str
    level: str = ""
    """debug, info, warning, error or critical; of a traceback's lines error; empty if it is not known."""
    process: str = ""
    """Of the server, as `APIServer` or `Worker_TP0`."""
    pid: str = ""
    code: str = ""
    """`file:line` of the statement that logged it."""
    request_id: str = ""
    """The engine's id of the request that it is about."""
    kind: str = ""
    """`event`: not from the server; `cut`: the next line continues it; `redraw`: of a progress bar."""

    @property
    def time(self) -> datetime:
        """When it was printed, in this machine's time zone."""
        return datetime.fromtimestamp(self.time_ns / 1e9, UTC).astimezone()

    @property
    def is_error(self) -> bool:
        """Whether it is an error, or a line of a traceback."""
        return self.level in ("error", "critical")

    def __str__(self) -> str:
        """Return time of day, level and text."""
        return f"{self.time:%H:%M:%S.%f} {self.level.upper():8} {self.text}"

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return the line for an object of the panel's API, or of `tracetail logs --json`."""
        return cls(
            id=found["id"],
            time_ns=int(found["time"]),
            text=found["text"],
            launch_id=found["source"],
            level=found.get("level", ""),
            process=found.get("process", ""),
            pid=found.get("pid", ""),
            code=found.get("code", ""),
            request_id=found.get("requestId", ""),
            kind=found.get("kind", ""),
        )


class LogFilters(TypedDict, total=False):
    """Which lines of a log are wanted, for `Launch.logs`."""

    level: Level
    """Lines of this level and more severe ones; a traceback's lines are errors."""
    grep: str
    """Lines that contain this text."""
    regex: str
    """Lines that match this regular expression (RE2)."""
    ignore_case: bool
    """For grep and regex."""
    request_id: str
    """Lines about this request: its X-Request-Id, or the engine's id."""
    since: Moment
    """The oldest line: a datetime, a timedelta (an age), or a text as `10m` or `14:00`."""
    until: Moment
    """The newest line."""
    tail: int
    """The newest lines only, so many."""
    follow: bool
    """Go on with new lines, until the launch has ended."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which lines of a log are wanted: LogFilters, and a position."""

    level: Level | None = None
    grep: str | None = None
    regex: str | None = None
    ignore_case: bool = False
    request_id: str | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    tail: int | None = None
    follow: bool = False
    after: str = ""
    """Only lines behind the one with this id."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the wanted lines; empty for all."""
        return () if self.level is None else LEVELS[LEVELS.index(self.level) :]

    def matcher(self) -> Callable[[Line], bool]:
        """Return a function that checks level and text of a line, where the lines come from does not."""
        pattern = self.regex if self.regex is not None else re.escape(self.grep) if self.grep is not None else None
        compiled = re.compile(pattern, re.IGNORECASE if self.ignore_case else 0) if pattern is not None else None
        levels = self.levels

        def matches(line: Line) -> bool:
            return (not levels or line.level in levels) and (compiled is None or bool(compiled.search(line.text)))

        return matches

    def is_in_range(self, line: Line) -> bool:
        """Return whether a line is between the two times, and behind `after`."""
        return (
            (self.since_ns is None or line.time_ns >= self.since_ns)
            and (self.until_ns is None or line.time_ns <= self.until_ns)
            and (not self.after or order(line.id) > order(self.after))
        )


def order(identity: str) -> tuple[int, str]:
    """Return a line's position in the order of its log, for its id; of no id, before all others."""
    time_text, _, digest = identity.partition("-")
    return int(time_text or -1), digest


def query_of(filters: LogFilters) -> LogQuery:
    """Return the query for filters.

    Raises ValueError for a value that no line can meet, TypeError for an unknown filter, or a time that is none.
    """
    given: dict[str, Any] = {name: value for name, value in filters.items() if value is not None}
    since, until = (_moment_ns(name, given.pop(name, None)) for name in ("since", "until"))
    query = LogQuery(since_ns=since, until_ns=until, **given)
    if query.level is not None and query.level not in LEVELS:
        raise ValueError(f"level is {query.level!r}: expected one of {', '.join(LEVELS)}")
    if query.tail is not None and (not isinstance(query.tail, int) or query.tail < 0):
        raise ValueError(f"tail is {query.tail!r}: expected a number of lines from 0")
    return query


def _moment_ns(name: str, moment: Moment | None) -> int | None:
    """Return a time in nanoseconds since the epoch. Raises ValueError, TypeError; name: of the filter, for these."""
    if moment is None:
        return None
    expected = f"{name} is {moment!r}: expected a datetime, a timedelta, or a text as {FORMS}"
    now = datetime.now().astimezone()
    if isinstance(moment, str):
        try:
            return since_ns(moment, now)
        except ValueError as error:
            raise ValueError(expected) from error
    if not isinstance(moment, datetime | timedelta):
        raise TypeError(expected)
    found = now - moment if isinstance(moment, timedelta) else moment.astimezone()
    return round(found.timestamp() * 1_000_000) * 1000
