"""The lines of launches from this machine's log files: as the agent would ship them, merged by time."""

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from tracetail.agent.dry_run import FilePlan, dry_run
from tracetail.agent.settings import AgentSettings
from tracetail.contract.labels import launch_labels
from tracetail.contract.logline import parse_stamp
from tracetail.launcher.registry import Launch
from tracetail.panel.trace.entry import Entry, Key, Stream


def local_entries(launches: Sequence[Launch], settings: AgentSettings) -> Iterator[Entry]:
    """Yield the lines of launches, secrets masked, oldest first. A file that cannot be read is named on stderr."""
    yield from heapq.merge(*(_entries(launch, settings) for launch in launches), key=lambda entry: entry.key)


def _entries(launch: Launch, settings: AgentSettings) -> Iterator[Entry]:
    labels = launch_labels(launch.record)
    plan = FilePlan(labels, is_segment=True, plain=False, ids_from_lines=False, followed=True, first_seen_ns=None)
    for segment in launch.record.get("segments", []):
        try:
            data = Path(segment).read_bytes()
        except OSError as error:
            click.echo(f"{segment}: {error.strerror or error}", err=True)
            continue
        for number, found in enumerate(dry_run(data, plan, settings)):
            stream = Stream.of({**labels, **found["metadata"]})
            yield Entry(Key(parse_stamp(found["time"].encode()), f"{number:016x}"), stream, found["line"])
