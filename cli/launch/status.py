"""`tracetail status`: prints the state of a service."""

import socket
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click

from tracetail.cli.language import both
from tracetail.cli.launch import parameters
from tracetail.cli.launch.options import selection_options
from tracetail.cli.launch.outcome import ResultCommand, at_url, finish, print_object, refuse_parameters
from tracetail.cli.printable import printable
from tracetail.cli.words import state_word
from tracetail.launcher.params import ParametersError

_ROLES_ZH = {"leader": "主节点", "follower": "从节点"}
_ROWS = (
    *("launchId", "traceId", "instanceId", "engine", "container", "host", "nodes", "nodeRank", "role"),
    *("pid", "startedAt", "readyAt", "endedAt", "logFile"),
)


@click.command(cls=ResultCommand)
@selection_options
@click.option("--all-hosts", is_flag=True, help="Of a trace also what runs on other machines, as Loki knows it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def status(given: str | None, launch_id: str, as_json: bool, all_hosts: bool, **flags: Any) -> None:
    """Print the state of a service.

    Where a traceId selects several services, that of the worst state is printed in full, and decides.

    The exit status is 0 if it is ready, 3 if it has stopped, failed or crashed, 20 if it starts or stops,
    21 if it is unhealthy.
    """
    try:
        values = parameters.merge(parameters.read(given), flags)
    except ParametersError as error:
        refuse_parameters("status", error)
    run_status(values, launch_id, as_json=as_json, all_hosts=all_hosts)


def run_status(values: dict[str, Any], launch_id: str, *, as_json: bool, all_hosts: bool = False) -> NoReturn:
    """Print the state of the selected service, and exit."""
    from tracetail.launcher.operations import status

    if all_hosts:
        from tracetail.cli.launch.other_hosts import launches_elsewhere
    try:
        selection = parameters.selection(values, launch_id)
        elsewhere = launches_elsewhere(str(values.get("traceId", "")), socket.gethostname()) if all_hosts else []
        result = status.status(selection, parameters.state_dir(), elsewhere)
    except ParametersError as error:
        refuse_parameters("status", error)
    shown = result.to_object()
    known = {**(result.record or {}), **shown}
    if as_json:
        print_object({**shown, **{name: known[name] for name in _ROWS if name in known}})
        sys.exit(result.status)
    for one in shown.get("launches", ())[1:]:
        line = _sentence(one["service"], one["state"]) + f"{at_url(one)} ({one['launchId']}{_place(one)})"
        click.echo(printable(line))
    service, state = shown.get("service", selection.describe()), shown.get("state", "")
    click.echo(printable(_sentence(service, state) + at_url(shown)))
    for name in _ROWS:
        value = known.get(name)
        if value not in (None, ""):
            text = describe_container(value) if name == "container" else str(value)
            click.echo(f"  {name:<10}  {printable(text)}")
    finish(result)


def _place(one: Mapping[str, Any]) -> str:
    """Return `, follower 1 on node-b` for one of several machines."""
    if "role" not in one:
        return ""
    rank = f" {one['nodeRank']}" if "nodeRank" in one else ""
    return both(f", {one['role']}{rank} on {one['host']}", f"，{_ROLES_ZH[one['role']]}{rank}，主机 {one['host']}")


def _sentence(service: str, state: str) -> str:
    return both(f"{service} is {state}", f"{service}：{state_word(state)}")


def describe_container(container: Mapping[str, Any]) -> str:
    """Return `docker 4f66ad9e0b1c, tracetail-…, image vllm/vllm-openai:v0.11.0 (sha256:…)`."""
    found = f"{container['runtime']} {container.get('id', 'not made yet')[:12]}, {container['name']}"
    digest = f" ({container['imageDigest']})" if "imageDigest" in container else ""
    return f"{found}, image {container['image']}{digest}"
