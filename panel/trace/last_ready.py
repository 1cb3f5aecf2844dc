"""The last time that a service was ready before a launch that was not, and what differs between the two."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tracetail.panel.trace.comparison import compare_launches
from tracetail.panel.trace.engine_versions import EngineVersions
from tracetail.panel.trace.traces import Traces

_CANDIDATES_AT_A_TIME = 50
_CANDIDATES_MAX = 500


class LastReady:
    """Finds earlier launches of the same service, and compares. All methods raise LokiError."""

    def __init__(self, traces: Traces, versions: EngineVersions) -> None:
        self._traces = traces
        self._versions = versions

    async def before(self, launch: Mapping[str, Any], allowed: Callable[[str], bool]) -> dict[str, Any] | None:
        """Return the newest earlier launch of this launch's model and environment that became ready, if there is one.

        Of several machines that serve a model together, one of the same rank. allowed: whether a trace may be read.
        """
        found = (await self._before_of_service([launch], allowed)).get(launch["launchId"])
        whole = await self._traces.launches(found["traceId"], found["launchId"]) if found else []
        return whole[0] if whole else None

    async def before_each(self, launch_ids: Sequence[str], allowed: Callable[[str], bool]) -> dict[str, Any]:
        """Return what `before` finds, by the launchIds of the launches that have such a one before them.

        Only the events that change the state are applied to what is returned.
        """
        of_services: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for launch in await self._traces.with_ids(launch_ids):
            if allowed(launch["traceId"]):
                of_services.setdefault((launch["modelName"], launch["env"]), []).append(launch)
        found: dict[str, Any] = {}
        for launches in of_services.values():
            found |= await self._before_of_service(launches, allowed)
        return found

    async def _before_of_service(
        self, launches: Sequence[Mapping[str, Any]], allowed: Callable[[str], bool]
    ) -> dict[str, dict[str, Any]]:
        """Return by launchId, for launches of one model and environment, the last one before it that became ready."""
        pending = {launch["launchId"]: launch for launch in launches}
        series = await self._traces.series_of_service(launches[0]["modelName"], launches[0]["env"])
        earlier = {
            launch_id: one
            for launch_id, one in self._traces.launches_of(series).items()
            if launch_id < max(pending) and allowed(one["traceId"])
        }
        ids = sorted(earlier, reverse=True)[:_CANDIDATES_MAX]
        found: dict[str, dict[str, Any]] = {}
        for first in range(0, len(ids), _CANDIDATES_AT_A_TIME):
            some = {launch_id: earlier[launch_id] for launch_id in ids[first : first + _CANDIDATES_AT_A_TIME]}
            for candidate in await self._traces.with_states(some):
                for launch_id, launch in list(pending.items()):
                    if _is_ready_before(candidate, launch):
                        found[launch_id] = candidate
                        del pending[launch_id]
            if not pending:
                break
        return found

    async def comparison(self, launch: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        """Return both launches, each with its `versions`, and what differs (compare_launches)."""
        for one in (launch, other):
            one["versions"] = await self._versions.of(one)
        return {"launch": launch, "other": other, **compare_launches(launch, other)}


def _is_ready_before(candidate: Mapping[str, Any], launch: Mapping[str, Any]) -> bool:
    """Return whether a launch of the same service became ready, is older, and has the same rank."""
    return (
        "readyAt" in candidate
        and candidate["launchId"] < launch["launchId"]
        and candidate.get("nodeRank") == launch.get("nodeRank")
    )
