"""Which log `tracetail logs` prints: that of options, of a word (an id, the end of one, a model), or the last one."""

import difflib
from pathlib import Path
from typing import NamedTuple

import click

from tracetail.cli.errors import BAD_USAGE, fail
from tracetail.cli.language import both
from tracetail.cli.printable import printable
from tracetail.cli.words import state_word
from tracetail.contract import labels as names
from tracetail.contract.identity import InvalidIdError, check_id, is_launch_id
from tracetail.launcher import registry

SHORT_ID_MIN = 4
"""Characters of the end of a launchId that may stand for it."""


class Choice(NamedTuple):
    """The log to print."""

    streams: dict[str, str]
    """The labels by which its streams are selected in Loki."""
    launches: list[registry.Launch]
    """Its launches on this machine, newest first."""


def by_options(trace_id: str | None, launch_id: str | None, instance_id: str | None, state_dir: Path) -> Choice:
    """Return the log that options name. Exits with status 2 if an id is none."""
    given = {names.TRACE_ID: trace_id, names.LAUNCH_ID: launch_id, names.INSTANCE_ID: instance_id}
    streams = {name: value for name, value in given.items() if value is not None}
    if launch_id is not None and not is_launch_id(launch_id):
        example = "20261122T211210-4bf92f"
        english = f"--launch {launch_id!r} is not a launch id such as {example}"
        fail(both(english, f"--launch {launch_id!r} 不是启动 id（例如 {example}）"), BAD_USAGE)
    try:
        for name, value in streams.items():
            check_id(name, value)
    except InvalidIdError as error:
        fail(str(error), BAD_USAGE)
    fields = {names.TRACE_ID: "traceId", names.LAUNCH_ID: "launchId", names.INSTANCE_ID: "instanceId"}
    found = [
        launch
        for launch in registry.launches(state_dir)
        if all(launch.record.get(fields[name]) == value for name, value in streams.items())
    ]
    return Choice(streams, found)


def by_word(word: str, state_dir: Path) -> Choice:
    """Return the log that a word means.

    The first of these that there is on this machine: a launch with this launchId or an end of it, the newest launch
    of this model, the trace. What is not on this machine is a launch of another one, or else a trace.
    """
    known = list(registry.launches(state_dir))
    for launch in known:
        if launch.record["launchId"] == word:
            return _of_launch(launch)
    short = [one for one in known if len(word) >= SHORT_ID_MIN and one.record["launchId"].endswith(word)]
    if len(short) > 1:
        ids = ", ".join(one.record["launchId"] for one in short)
        fail(both(f"{word} may be one of {ids}: give more of it", f"{word} 可能是 {ids}：请多给几位"), BAD_USAGE)
    if short:
        return _of_launch(short[0], announce=True)
    for launch in known:
        if word in (launch.record.get("modelName"), launch.record.get("service")):
            return _of_launch(launch, announce=True)
    if is_launch_id(word):
        return by_options(None, word, None, state_dir)
    if not _is_id(word):
        english = f"there is no launch of {word} on this machine"
        fail(both(english, f"本机没有 {word} 的启动") + did_you_mean(word, state_dir), BAD_USAGE)
    return by_options(word, None, None, state_dir)


def _is_id(word: str) -> bool:
    try:
        check_id(names.TRACE_ID, word)
    except InvalidIdError:
        return False
    return True


def did_you_mean(word: str, state_dir: Path) -> str:
    """Return `; did you mean X?` with the model or trace of this machine that is most like a word; "" if none is."""
    launches = list(registry.launches(state_dir))
    known = {str(one.record.get(name, "")) for one in launches for name in ("modelName", "traceId")}
    near = next(iter(difflib.get_close_matches(word, known, n=1)), "")
    return both(f"; did you mean {near}?", f"；是否想写 {near}？") if near else ""


def newest(state_dir: Path) -> Choice:
    """Return the log of the newest launch on this machine. Exits with status 2 if there is none."""
    for launch in registry.launches(state_dir):
        return _of_launch(launch, announce=True)
    return fail(
        both(
            "which log? There is no launch on this machine: give a traceId, --launch or --instance-id "
            "(`tracetail ps --all` lists launches)",
            "哪个日志？本机没有启动记录：请给出 traceId、--launch 或 --instance-id（`tracetail ps --all` 列出启动）",
        ),
        BAD_USAGE,
    )


def _of_launch(launch: registry.Launch, *, announce: bool = False) -> Choice:
    if announce:
        known = launch.record
        launch_id, service = known["launchId"], known.get("service", "")
        english = f"launch {launch_id} of {service}, {launch.state}"
        click.echo(printable(both(english, f"{service} 的启动 {launch_id}，{state_word(launch.state)}")), err=True)
    return Choice({names.LAUNCH_ID: launch.record["launchId"]}, [launch])
