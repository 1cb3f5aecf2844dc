"""Which streams a post may write to: an instance belongs to one trace, and posts make few streams in each trace."""

from tracetail.contract import labels as names
from tracetail.panel.auth.access import AccessError, Grant
from tracetail.panel.routes.errors import RequestError
from tracetail.panel.trace.traces import Traces

ORIGIN = "origin"
"""The label that keeps posted entries out of the launch's own stream, which is ordered by the keeper's stamps."""
OTHER = "other"
"""The value of labels for which a trace has too many values already: the text of the entry has the real ones."""
MODELS_MAX = 20
"""Streams of one trace that differ in model and environment."""
STREAMS_MAX = 100
"""Streams of one trace that posts make, whatever the labels: a viewer's cursor names each of them."""


class PostedStreams:
    """Decides on the labels of posts, by what Loki has. All methods raise LokiError."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    async def trace_for(self, grant: Grant, instance_id: str, named: str, otherwise: str) -> str:
        """Return the trace of a post for an instance: the one that has it, else the named one, else `otherwise`.

        Raises AccessError if the grant is not for it, or if it is not the one that the post names.
        """
        if named:
            grant.require_trace(named)
        owners = await self._traces.of_instance(instance_id)
        if not owners:
            trace_id = named or otherwise
            grant.require_trace(trace_id)
            return trace_id
        if named:
            if named not in owners:
                raise AccessError("instance_of_another_trace", f"instanceId {instance_id} belongs to another trace")
            return named
        allowed = [trace_id for trace_id in owners if grant.allows(trace_id)]
        if not allowed:
            raise AccessError("trace_not_allowed", "the token is not for the trace of this instanceId")
        return allowed[-1]

    async def bounded(self, labels: dict[str, str]) -> dict[str, str]:
        """Return the labels that a post is written with: these, or fewer values of them once the trace has many.

        To be called, and the post to be written, under the trace's lock. Raises RequestError (429).
        """
        labels = {name: value for name, value in labels.items() if value}
        trace_id = labels[names.TRACE_ID]
        posted = [found for found in await self._traces.streams(trace_id) if found.get(ORIGIN)]
        if labels in posted or len(posted) < MODELS_MAX:
            return labels
        few = {name: OTHER if name in (names.SERVICE_NAME, names.ENV) else value for name, value in labels.items()}
        same_kind = [found for found in posted if found[ORIGIN] == labels[ORIGIN]]
        models = {(found.get(names.SERVICE_NAME), found.get(names.ENV)) for found in same_kind}
        if (labels.get(names.SERVICE_NAME), labels.get(names.ENV)) not in models and len(models) >= MODELS_MAX:
            labels = few
        if labels in posted or len(posted) < STREAMS_MAX:
            return labels
        raise RequestError(429, "too_many_streams", f"posts have made {len(posted)} streams in this trace already")
