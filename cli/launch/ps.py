"""`tracetail ps`: lists the launches of this machine."""

import json

import click

from tracetail.cli.launch import parameters
from tracetail.cli.terminal import print_table

_COLUMNS = ("launchId", "service", "state", "pid", "engine", "traceId", "cause")
_STYLES = {
    "ready": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "unhealthy": "red",
    "failed": "red",
    "crashed": "red",
}


@click.command()
@click.option("--all", "everything", is_flag=True, help="Include launches that have ended.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def ps(everything: bool, as_json: bool) -> None:
    """List the launches of this machine."""
    from tracetail.launcher import registry

    rows = [
        {
            "launchId": launch.record["launchId"],
            "service": launch.record["service"],
            "state": launch.state,
            "kept": launch.kept,
            "pid": launch.record["server"]["pid"] if "server" in launch.record else None,
            "port": launch.record.get("port"),
            "engine": launch.record["engine"],
            "traceId": launch.record["traceId"],
            "instanceId": launch.record["instanceId"],
            "startedAt": launch.record["startedAt"],
            "logFile": launch.record["logFile"],
            "cause": launch.record.get("exit", {}).get("cause"),
        }
        for launch in registry.launches(parameters.state_dir())
        if everything or launch.live
    ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    elif rows:
        cells = [["" if row[name] is None else str(row[name]) for name in _COLUMNS] for row in rows]
        print_table([name.upper() for name in _COLUMNS], cells, folded=("SERVICE", "CAUSE"), styles=_STYLES)
    else:
        click.echo("nothing runs" if not everything else "there are no launches")
    for problem in registry.unreadable(parameters.state_dir()):
        click.echo(f"warning: {problem}", err=True)
