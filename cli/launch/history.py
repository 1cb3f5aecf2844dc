"""`tracetail history`: how long the last starts took, phase by phase, and which were slower than those before."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracetail.cli.completing import completer
from tracetail.cli.errors import load_configuration
from tracetail.cli.language import both
from tracetail.cli.launch import parameters
from tracetail.cli.terminal import print_table
from tracetail.cli.words import phase_word, state_word
from tracetail.contract.json_text import json_text
from tracetail.contract.start_seconds import NOTABLE, changes, seconds_by_phase

if TYPE_CHECKING:
    from tracetail.launcher.registry import Launch

_HEAD_BYTES = 512 << 10
"""Of a log: within them an engine names its version."""


@click.command()
@click.option("--model", metavar="NAME", help="Only launches of this model.", shell_complete=completer("modelName"))
@click.option("--env", metavar="NAME", help="Only launches of this environment.")
@click.option("--engine", metavar="NAME", help="Only launches of this engine.")
@click.option("-n", "--last", type=click.IntRange(min=1), default=20, show_default=True, help="At most N starts.")
@click.option("--phases", is_flag=True, help="A column for each phase, also for several models.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def history(
    config: str | None,
    model: str | None,
    env: str | None,
    engine: str | None,
    last: int,
    phases: bool,
    as_json: bool,
) -> None:
    """Show how long the last starts took, newest first, and how that compares with those before.

    A start is compared with the median of the ten starts before it of the same model, environment and engine that
    became ready. With --model there is a column for each phase: what got slower.
    """
    wanted = {"modelName": model, "env": env, "engine": engine}
    rows = _rows(wanted, last, load_configuration(config).agent.log_roots)
    if as_json:
        click.echo(json_text(rows, indent=2))
    elif rows:
        _print(rows, with_model=model is None, with_phases=phases or model is not None)
    else:
        click.echo(both("no launch matches", "没有匹配的启动"))


def _rows(wanted: Mapping[str, str | None], last: int, log_roots: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is known of the launches that match, newest first.

    Args:
        wanted: values of their records; None for any.
        last: how many of them.
        log_roots: where logs may lie beside the state directory.

    """
    from tracetail.launcher import registry
    from tracetail.launcher.start_history import seconds_to_ready

    found = [
        launch
        for launch in registry.launches(parameters.state_dir())
        if all(value is None or launch.record.get(name) == value for name, value in wanted.items())
    ]
    seconds = [seconds_to_ready(launch.record) for launch in found]
    services = [tuple(launch.record.get(name) for name in wanted) for launch in found]
    compared = changes(zip(reversed(services), reversed(seconds), strict=True))[::-1]
    return [_row(*each, log_roots) for each in list(zip(found, seconds, compared, strict=True))[:last]]


def _row(launch: "Launch", seconds: float | None, change: float | None, log_roots: Sequence[str]) -> dict[str, Any]:
    record = launch.record
    return {
        "launchId": record["launchId"],
        "traceId": record["traceId"],
        "modelName": record.get("modelName"),
        "env": record.get("env"),
        "engine": record["engine"],
        "image": record.get("container", {}).get("image"),
        "versions": _versions(launch, log_roots),
        "state": launch.state,
        "startedAt": record["startedAt"],
        "readySeconds": None if seconds is None else round(seconds, 3),
        "change": change,
        "phases": seconds_by_phase(record.get("phases", [])),
    }


def _versions(launch: "Launch", log_roots: Sequence[str]) -> dict[str, str]:
    """Return the versions that the engine names at the beginning of its log, by program."""
    from tracetail.panel.trace.comparison import versions_in

    return versions_in(_first_lines(launch, log_roots))


def _first_lines(launch: "Launch", log_roots: Sequence[str]) -> Iterator[str]:
    from tracetail.contract.log_roots import open_segment
    from tracetail.contract.logline import MARK_EVENT, parse_line

    for path in launch.record.get("segments", [])[:1]:
        try:
            file = os.fdopen(open_segment(launch.dir, Path(path), log_roots), "rb")
        except OSError:
            continue  # removed, or no segment of this launch's owner
        with file:
            for raw in file.read(_HEAD_BYTES).splitlines():
                line = parse_line(raw)
                if line is not None and line.mark != MARK_EVENT:
                    yield line.text.decode(errors="replace")


def _print(rows: Sequence[Mapping[str, Any]], *, with_model: bool, with_phases: bool) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row["phases"])) if with_phases else []
    model = both("MODEL", "模型")
    columns = [
        both("LAUNCHID", "启动"),
        *([model] if with_model else []),
        both("VERSION", "版本"),
        both("STATE", "状态"),
        both("READY", "就绪"),
        both("CHANGE", "变化"),
    ]
    cells = []
    for row in rows:
        version = next(iter(row["versions"].values()), "") or (row["image"] or "").rpartition(":")[2]
        cells.append(
            [
                row["launchId"],
                *([f"{row['env']}/{row['modelName']}"] if with_model else []),
                version,
                state_word(row["state"]),
                _seconds(row["readySeconds"]),
                _change(row["change"]),
                *(_seconds(row["phases"].get(name)) for name in names),
            ]
        )
    print_table([*columns, *(phase_word(name).upper() for name in names)], cells, folded=[model])


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _change(value: float | None) -> str:
    """Return `+35% !`: the mark is for a start that took notably longer."""
    return "" if value is None else f"{value:+.0%}" + (" !" if value >= NOTABLE else "")
