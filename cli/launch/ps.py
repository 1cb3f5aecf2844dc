"""`tracetail ps`: lists the launches of this machine, once or again and again."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tracetail.cli.completing import completer
from tracetail.cli.errors import BAD_USAGE, fail
from tracetail.cli.language import both, in_language
from tracetail.cli.printable import printable
from tracetail.cli.terminal import is_terminal, print_table, watch_table
from tracetail.cli.words import state_word
from tracetail.contract.json_text import json_text

if TYPE_CHECKING:
    from tracetail.launcher.registry import Launch

_COLUMNS = {
    "launchId": "启动",
    "service": "服务",
    "state": "状态",
    "age": "距今",
    "pid": "PID",
    "engine": "引擎",
    "traceId": "TRACEID",
    "cause": "原因",
}
"""The fields of a row that are shown, with their headings in Chinese."""
_STYLES = {
    "ready": "green",
    "starting": "yellow",
    "stopping": "yellow",
    "unhealthy": "red",
    "failed": "red",
    "crashed": "red",
}
_SEARCHED = (
    "launchId",
    "service",
    "state",
    "engine",
    "image",
    "traceId",
    "instanceId",
    "jobId",
    "cause",
    "causeZh",
    "causeCode",
)
"""The fields in which a word is searched."""


@click.command()
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("-a", "--all", "everything", is_flag=True, help="Include launches that have ended.")
@click.option(
    "--state", "states", multiple=True, metavar="STATE", help="Only this state (again for more); implies -a."
)
@click.option("--model", metavar="NAME", help="Only launches of this model.", shell_complete=completer("modelName"))
@click.option("--env", metavar="NAME", help="Only launches of this environment.")
@click.option("--engine", metavar="NAME", help="Only launches of this engine.")
@click.option("--trace-id", metavar="ID", help="Only launches of this trace.", shell_complete=completer("traceId"))
@click.option("-n", "--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N; implies -a.")
@click.option("-w", "--watch", is_flag=True, help="Show the list again every two seconds, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def ps(
    words: Sequence[str],
    everything: bool,
    states: Sequence[str],
    last: int | None,
    watch: bool,
    as_json: bool,
    **wanted: str | None,
) -> None:
    """List the launches of this machine, newest first.

    With WORDs, only launches that have each of them in an id, the service, state, engine or cause.
    """
    from tracetail.contract.record import ENDED_STATES
    from tracetail.contract.state import state_dir
    from tracetail.launcher import registry

    known = sorted(ENDED_STATES | registry.LIVE_STATES)
    for state in states:
        if state not in known:
            names = ", ".join(known)
            fail(
                both(
                    f"--state {state} is no state: use one of {names}",
                    f"--state {state}：没有这个状态；可用的有：{names}",
                ),
                BAD_USAGE,
            )
    if watch and (as_json or not is_terminal()):
        english = "--watch needs a terminal, and does not go with --json"
        fail(both(english, "--watch 需要终端，且不能与 --json 同时使用"), BAD_USAGE)

    problems: list[str] = []

    def listed() -> list[dict[str, Any]]:
        problems.clear()
        rows = [
            row
            for launch in registry.launches(state_dir(os.environ), problems.append)
            if (everything or states or last or launch.live)
            and (not states or launch.state in states)
            and _matches(row := _row(launch), wanted, words)
        ]
        return rows[:last]

    headings = [both(name.upper(), chinese) for name, chinese in _COLUMNS.items()]
    folded = (both("SERVICE", _COLUMNS["service"]), both("CAUSE", _COLUMNS["cause"]))
    styles = {state_word(state): style for state, style in _STYLES.items()}
    if watch:
        watch_table(headings, lambda: _cells(listed()), folded=folded, styles=styles)
        return
    rows = listed()
    if as_json:
        click.echo(json_text(rows, indent=2))
    elif rows:
        print_table(headings, _cells(rows), folded=folded, styles=styles)
    elif words or states or any(wanted.values()):
        more = "" if everything or states or last else both("; with -a: those that have ended", "；-a 包括已结束的")
        click.echo(both("no launch matches", "没有匹配的启动") + more)
    elif everything or last:
        click.echo(both("there are no launches", "没有启动记录"))
    else:
        click.echo(both("nothing runs; with -a: what has ended", "没有正在运行的服务；-a 包括已结束的"))
    for problem in reversed(problems):
        click.echo(printable(both(f"warning: {problem}", f"警告：{problem}")), err=True)


def _row(launch: "Launch") -> dict[str, Any]:
    """Return what is listed of a launch, by the names of its record."""
    record = launch.record
    ended = record.get("exit", {})
    return {
        "launchId": record["launchId"],
        "service": record["service"],
        "modelName": record.get("modelName"),
        "env": record.get("env"),
        "state": launch.state,
        "kept": launch.kept,
        "pid": record["server"]["pid"] if launch.live and "server" in record else None,
        "port": record.get("port"),
        "url": record.get("url"),
        "engine": record["engine"],
        "container": record.get("container"),
        "image": record.get("container", {}).get("image"),
        "traceId": record["traceId"],
        "instanceId": record["instanceId"],
        "jobId": record.get("jobId"),
        "startedAt": record["startedAt"],
        "readyAt": record.get("readyAt"),
        "endedAt": record.get("endedAt"),
        "logFile": record["logFile"],
        "cause": ended.get("cause"),
        "causeZh": ended.get("causeZh"),
        "causeCode": ended.get("causeCode"),
    }


def _matches(row: dict[str, Any], wanted: dict[str, str | None], words: Sequence[str]) -> bool:
    for option, name in (("model", "modelName"), ("env", "env"), ("engine", "engine"), ("trace_id", "traceId")):
        if wanted[option] and row[name] != wanted[option]:
            return False
    texts = [str(row[name]).casefold() for name in _SEARCHED if row[name]]
    return all(any(word.casefold() in text for text in texts) for word in words)


def _cells(rows: list[dict[str, Any]]) -> list[list[str]]:
    shown = [
        {
            **row,
            "state": state_word(row["state"]),
            "age": age(row["startedAt"]),
            "engine": _engine(row),
            "cause": in_language(row, "cause"),
        }
        for row in rows
    ]
    return [["" if row[name] is None else str(row[name]) for name in _COLUMNS] for row in shown]


def _engine(row: dict[str, Any]) -> str:
    """Return `vllm`, or `vllm (docker)`."""
    container = row["container"]
    return f"{row['engine']} ({container['runtime']})" if container else str(row["engine"])


def age(started_at: str, now: float | None = None) -> str:
    """Return how long ago a time in ISO 8601 was, in the two largest units that matter: 42s, 5m10s, 3h20m, 12d."""
    from datetime import UTC, datetime

    try:
        started = datetime.fromisoformat(started_at)
    except ValueError:
        return ""
    started = started if started.tzinfo else started.replace(tzinfo=UTC)
    seconds = max(0, int((time.time() if now is None else now) - started.timestamp()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 1:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s"
    if hours < 1:
        return f"{minutes}m"
    if hours < 10:
        return f"{hours}h{minutes % 60}m"
    return f"{hours}h" if days < 2 else f"{days}d"
