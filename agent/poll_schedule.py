"""When each log is looked at: ten times a second, or less often if nothing has happened in it for a while."""

from collections.abc import Collection, Iterable

from tracetail.agent.reading.source import Source

LOOK_EVERY_SECONDS = 0.1
QUIET_SECONDS = 10.0
"""A log in which nothing happened for so long is quiet."""
_TURNS = 8
"""Quiet logs are looked at every so many times."""
_TURNS_OF_MANY = ((5000, 50), (256, 20))
"""Where there are more of them than so many, so many."""
_TURNS_AT_ONCE = 2
"""Where all logs are quiet, so many turns are taken at once, and half as often: waking up costs as much as a turn."""


class Rounds:
    """Says which sources to look at now, and when to ask again."""

    def __init__(self) -> None:
        self._lively: set[Source] = set()
        self._quiet: list[list[Source]] = [[]]
        self._turn = 0

    def sort(self, sources: Collection[Source]) -> None:
        """Take these sources, and tell the lively from the quiet ones; call it every second or so."""
        quiet = [source for source in sources if _is_quiet(source)]
        turns = next((turns for more, turns in _TURNS_OF_MANY if len(quiet) > more), _TURNS)
        self._quiet = [quiet[turn::turns] for turn in range(turns)]
        self._lively = set(sources).difference(quiet)

    def stir(self, source: Source) -> None:
        """Something happened in a source, or it is new: it is a lively one from now on."""
        self._lively.add(source)

    def next(self) -> Iterable[Source]:
        """Return the sources whose turn it is."""
        chosen = list(self._lively)
        for _ in range(self._turns_at_once()):
            self._turn += 1
            chosen += self._quiet[self._turn % len(self._quiet)]
        return chosen

    def wait_seconds(self) -> float:
        """Return how long to wait before the next turn."""
        return LOOK_EVERY_SECONDS * self._turns_at_once()

    def _turns_at_once(self) -> int:
        return 1 if self._lively else _TURNS_AT_ONCE


def _is_quiet(source: Source) -> bool:
    return source.asleep or (source.open and not source.changed_within(QUIET_SECONDS))
