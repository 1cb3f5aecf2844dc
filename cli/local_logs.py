"""The lines of launches from this machine's log files: as the agent would ship them, merged by time."""

import heapq
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tracetail.agent.dry_run import FilePlan, dry_run
from tracetail.agent.settings import AgentSettings
from tracetail.contract.labels import launch_labels
from tracetail.contract.log_roots import log_roots
from tracetail.contract.logline import parse_stamp
from tracetail.contract.owned_files import open_beneath
from tracetail.launcher.registry import Launch
from tracetail.panel.trace.entry import Entry, Key, Stream


def local_entries(launches: Sequence[Launch], settings: AgentSettings) -> Iterator[Entry]:
    """Yield the lines of launches, secrets masked, oldest first. A file that cannot be read is named on stderr."""
    yield from heapq.merge(*(_entries(launch, settings) for launch in launches), key=lambda entry: entry.key)


def _entries(launch: Launch, settings: AgentSettings) -> Iterator[Entry]:
    labels = launch_labels(launch.record)
    plan = FilePlan(labels, is_segment=True, plain=False, ids_from_lines=False, followed=True, first_seen_ns=None)
    roots = log_roots(launch.dir, settings.log_roots)
    for segment in launch.record.get("segments", []):
        try:
            with os.fdopen(open_beneath(roots, Path(segment), launch.dir.path.stat().st_uid), "rb") as file:
                data = file.read()
        except OSError as error:
            click.echo(f"{segment}: {error.strerror or error}", err=True)
            continue
        for number, found in enumerate(dry_run(data, plan, settings)):
            stream = Stream.of({**labels, **found["metadata"]})
            yield Entry(Key(parse_stamp(found["time"].encode()), f"{number:016x}"), stream, found["line"])
