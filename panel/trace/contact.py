"""When the machine of a launch was last heard of, by the heartbeats of agents (contract.heartbeat)."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tracetail.contract import labels as names
from tracetail.contract import record
from tracetail.contract.heartbeat import INTERVAL_MAX_SECONDS, SERVICE, Heartbeat, parse_heartbeat
from tracetail.loki import logql
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiError
from tracetail.panel.trace.entry import Entry, entries_from
from tracetail.panel.trace.reader import one_entry
from tracetail.panel.trace.shared_answers import SharedAnswers

log = logging.getLogger(__name__)

RUNNING_STATES = frozenset({record.STARTING, record.READY, record.UNHEALTHY, record.STOPPING})
LOST = "lost"
"""What the list's filter by state calls a launch without contact."""
_SECOND_NS = 1_000_000_000
_RECENT_NS = int(1.5 * INTERVAL_MAX_SECONDS) * _SECOND_NS
"""Whoever sends heartbeats at all has sent one in this time."""
_RECENT_HEARTBEATS = 5000
_SHARED_SECONDS = 2.0
_EARLIER_MAX = 10_000
_EARLIER_SECONDS = 60.0
"""How long the last heartbeat that a search found is taken for the last one."""
_SEARCHES = 8
"""How many launches' last heartbeats are searched for at a time."""


class _Heard(NamedTuple):
    """The last heartbeat that lists a launch."""

    time_ns: int
    heartbeat: Heartbeat


class _Search(NamedTuple):
    """What a search for a launch's last heartbeat found, and until when it searched."""

    until_ns: int
    heard: _Heard | None


class Contact:
    """Adds to launches that have not ended when their machines were last heard of, and whether contact is lost.

    `lastHeardAt` is in nanoseconds, as text; `lostContact` is there, and true, if heartbeats listed the launch once
    and now neither a heartbeat nor a line of it has come for several intervals. A launch that no heartbeat listed has
    neither: what ships its log sends none.
    """

    def __init__(self, loki: LokiClient, lookback_ns: int) -> None:
        """lookback_ns: how old a heartbeat may be to be found."""
        self._loki = loki
        self._lookback_ns = lookback_ns
        self._recent_answers = SharedAnswers(_SHARED_SECONDS)
        self._earlier: OrderedDict[str, _Search] = OrderedDict()
        self._searches = asyncio.Semaphore(_SEARCHES)

    async def update(self, launches: Iterable[dict[str, Any]], lines: Mapping[str, int] | None = None) -> bool:
        """Update the launches in place; return whether something changed.

        lines: the times of their last lines by launchId, in nanoseconds; Loki is asked where they matter without it.
        A Loki that does not answer changes nothing: whoever reads lines reports it.
        """
        every = list(launches)
        running = [launch for launch in every if launch["state"] in RUNNING_STATES]
        now_ns = time.time_ns()
        try:
            heard = await self._heard(running, now_ns) if running else {}
            silent = {
                one: last.heartbeat
                for one, last in heard.items()
                if _is_overdue(last.heartbeat, last.time_ns, now_ns)
            }
            if lines is None:
                lines = dict.fromkeys(await self._with_lines(silent, now_ns), now_ns) if silent else {}
        except LokiError as error:
            log.debug("contact: %s", error)
            return False
        changes = [_set(launch, heard.get(launch["launchId"]), lines, now_ns) for launch in every]
        return any(changes)

    async def _heard(self, running: Sequence[Mapping[str, Any]], now_ns: int) -> dict[str, _Heard]:
        """Return the last heartbeat of each launch that has one."""
        hosts = tuple(sorted({launch["host"] for launch in running if launch["host"]}))
        if not hosts:
            return {}
        recent = await self._recent_answers.get(hosts, lambda: self._recent(hosts, now_ns))
        heard = {one["launchId"]: recent[one["launchId"]] for one in running if one["launchId"] in recent}
        missing = [launch for launch in running if launch["launchId"] not in heard]
        for launch, found in zip(missing, await asyncio.gather(*map(self._search, missing)), strict=True):
            if found is not None:
                heard[launch["launchId"]] = found
        return heard

    async def _recent(self, hosts: Sequence[str], now_ns: int) -> dict[str, _Heard]:
        """Return the last heartbeats of these hosts' launches, of those that are recent."""
        heard: dict[str, _Heard] = {}
        query = _heartbeats_of(hosts)
        answer = await self._loki.answer(
            query, now_ns - _RECENT_NS, now_ns + 1, entries_from, limit=_RECENT_HEARTBEATS, backward=True
        )
        for entry in sorted(answer.entries, key=lambda entry: entry.time_ns):
            if heartbeat := parse_heartbeat(entry.text):
                heard.update(dict.fromkeys(heartbeat.launch_ids, _Heard(entry.time_ns, heartbeat)))
        return heard

    async def _search(self, launch: Mapping[str, Any]) -> _Heard | None:
        """Return the last heartbeat that lists a launch, however old. It is searched for once in a while."""
        launch_id = launch["launchId"]
        now_ns = time.time_ns()
        known = self._earlier.get(launch_id)
        if known is not None and now_ns - known.until_ns < _EARLIER_SECONDS * _SECOND_NS:
            return known.heard
        started_ns = int(launch.get("startedAt", 0)) or now_ns - self._lookback_ns
        start_ns = known.until_ns - _RECENT_NS if known is not None else max(started_ns, now_ns - self._lookback_ns)
        query = logql.log_query(_heartbeats_of([launch["host"]]), contains=launch_id)
        async with self._searches:
            entry = await one_entry(self._loki, query, start_ns, now_ns, backward=True) if start_ns < now_ns else None
        heard = _heard_by(entry) or (known.heard if known is not None else None)
        self._earlier[launch_id] = _Search(now_ns, heard)
        self._earlier.move_to_end(launch_id)
        while len(self._earlier) > _EARLIER_MAX:
            self._earlier.popitem(last=False)
        return heard

    async def _with_lines(self, silent: Mapping[str, Heartbeat], now_ns: int) -> set[str]:
        """Return which of these launches have lines that are no older than their heartbeats may be."""
        by_age: dict[float, list[str]] = {}
        for launch_id, heartbeat in silent.items():
            by_age.setdefault(heartbeat.overdue_seconds, []).append(launch_id)
        counted = await asyncio.gather(*(self._lines_since(now_ns, age, ids) for age, ids in by_age.items()))
        return {item["metric"].get(names.LAUNCH_ID, "") for items in counted for item in items}

    async def _lines_since(self, now_ns: int, seconds: float, launch_ids: Sequence[str]) -> list[dict[str, Any]]:
        query = logql.selector_of_values(names.LAUNCH_ID, launch_ids)
        return await self._loki.counts(query, now_ns - int(seconds * _SECOND_NS), now_ns, by=(names.LAUNCH_ID,))


def shown_state(launch: Mapping[str, Any]) -> str:
    """Return the state of a launch as a reader sees it: LOST without contact."""
    return LOST if launch.get("lostContact") else str(launch["state"])


def _set(launch: dict[str, Any], heard: _Heard | None, lines: Mapping[str, int], now_ns: int) -> bool:
    """Set what is known of the contact; return whether that is a change."""
    before = launch.get("lastHeardAt"), launch.get("lostContact")
    launch.pop("lastHeardAt", None)
    launch.pop("lostContact", None)
    if heard is not None:
        last_ns = max(heard.time_ns, lines.get(launch["launchId"], 0))
        launch["lastHeardAt"] = str(last_ns)
        if _is_overdue(heard.heartbeat, last_ns, now_ns):
            launch["lostContact"] = True
    return before != (launch.get("lastHeardAt"), launch.get("lostContact"))


def _heard_by(entry: Entry | None) -> _Heard | None:
    heartbeat = parse_heartbeat(entry.text) if entry is not None else None
    return _Heard(entry.time_ns, heartbeat) if entry is not None and heartbeat is not None else None


def _is_overdue(heartbeat: Heartbeat, last_ns: int, now_ns: int) -> bool:
    return now_ns - last_ns > heartbeat.overdue_seconds * _SECOND_NS


def _heartbeats_of(hosts: Sequence[str]) -> str:
    """Return the selector of these hosts' heartbeats."""
    one_of = "|".join(logql.escape_regex(host) for host in hosts)
    return f"{{{names.SERVICE_NAME}={logql.quote(SERVICE)}, {names.HOST}=~{logql.quote(one_of)}}}"
