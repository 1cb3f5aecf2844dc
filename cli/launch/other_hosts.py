"""The launches of a trace on other machines, as their events in Loki say."""

import asyncio
from collections.abc import Mapping
from typing import Any

import click

from tracetail.cli import config_sources, configuration
from tracetail.cli.language import both
from tracetail.cli.refusals import said
from tracetail.contract.record import Record
from tracetail.launcher.params import ParametersError
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiError
from tracetail.panel.trace.reader import Reader
from tracetail.panel.trace.traces import Traces

_SAME = ("launchId", "traceId", "instanceId", "service", "env", "modelName", "engine", "host", "state", "jobId")
_PLACE = ("port", "nodes", "nodeRank", "role", "url")


def launches_elsewhere(trace_id: str, host: str) -> list[Record]:
    """Return what is known of the launches of a trace on machines other than `host`; where Loki fails, say so.

    Of several launches of one service on one machine it is the newest that counts. Raises ParametersError without a
    traceId.
    """
    if not trace_id:
        raise ParametersError("--all-hosts needs a traceId")
    try:
        settings = configuration.load(click.get_current_context().obj)
        found = asyncio.run(_of_trace(settings, trace_id))
    except (config_sources.ConfigurationError, LokiError) as error:
        english = f"the launches on other machines are not known: {error}"
        click.echo(both(english, f"无法得知其他机器上的启动：{said(error)}"), err=True)
        return []
    newest = {
        (launch["host"], launch.get("service")): launch
        for launch in found
        if launch["host"] != host and launch.get("service")
    }
    return [_record(launch) for launch in newest.values()]


async def _of_trace(settings: configuration.Configuration, trace_id: str) -> list[dict[str, Any]]:
    async with LokiClient(settings.loki) as loki:
        return await Traces(loki, Reader(loki), settings.panel).launches(trace_id)


def _record(launch: Mapping[str, Any]) -> Record:
    """Return the fields of a launch's record that its events give."""
    known: dict[str, Any] = {name: launch[name] for name in (*_SAME, *_PLACE) if name in launch}
    known["exit"] = {**launch.get("exit", {}), "code": None, "signal": None}
    if "health" in launch:
        known["health"] = {"cause": launch["health"].get("cause", ""), "hint": launch["health"].get("hint", "")}
    found: Record = known  # type: ignore[assignment]
    return found
