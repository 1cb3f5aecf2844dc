"""The last starts of a model: their phases, versions, and how long each took in comparison with those before."""

import asyncio
from collections.abc import Callable
from typing import Any

from tracetail.contract.start_seconds import COMPARED, NOTABLE, changes
from tracetail.panel.trace.engine_versions import EngineVersions
from tracetail.panel.trace.traces import Traces


class StartHistory:
    """Finds the last starts of a model."""

    def __init__(self, traces: Traces, versions: EngineVersions) -> None:
        self._traces = traces
        self._versions = versions

    async def starts(
        self, model_name: str, env: str, engine: str, limit: int, allowed: Callable[[str], bool]
    ) -> list[dict[str, Any]]:
        """Return the last starts, the newest first. Raises LokiError.

        Of several machines that serve a model together, the first one's. Launches are compared with those of the same
        environment and engine.

        Args:
            model_name: of which model.
            env: in which environment; "" for all.
            engine: by which engine; "" for all.
            limit: how many.
            allowed: whether a trace may be read.

        Returns:
            `{"launch": …}` with the launch's `versions`; `change`, as a share, where there is a start before it to
            compare with; `slower` where that is notable.

        """
        series = await self._traces.series_of_service(model_name, env)
        known = {
            launch_id: launch
            for launch_id, launch in self._traces.launches_of(series).items()
            if allowed(launch["traceId"]) and (not engine or launch["engine"] == engine)
        }
        ids = sorted(known, reverse=True)[: limit + COMPARED]
        found = await self._traces.with_states({one: known[one] for one in reversed(ids)}, with_phases=True)
        launches = [launch for launch in found if not launch.get("nodeRank")]
        compared = changes(((one["env"], one["engine"]), one.get("readySeconds")) for one in launches)
        starts = [_start(launch, change) for launch, change in zip(launches, compared, strict=True)][-limit:]
        versions = await asyncio.gather(*(self._versions.of(start["launch"]) for start in starts))
        for start, named in zip(starts, versions, strict=True):
            start["launch"]["versions"] = named
        return starts[::-1]


def _start(launch: dict[str, Any], change: float | None) -> dict[str, Any]:
    if change is None:
        return {"launch": launch}
    return {"launch": launch, "change": change, "slower": change >= NOTABLE}
