"""`tracetail verify`: checks that every line of a trace is in Loki."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

from tracetail.cli.agent_state import state_dirs
from tracetail.cli.errors import BAD_USAGE, fail, load_configuration

if TYPE_CHECKING:
    from tracetail.agent.verify_report import Report

REFUSED = 3
"""Exit status: every line is accounted for, but Loki refused or truncated some."""


@click.command()
@click.option("--trace-id", required=True, help="The trace to verify.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with a report for each launch.")
@click.pass_obj
def verify(config: str | None, trace_id: str, as_json: bool) -> None:
    """Check that every line of a trace's launches on this machine is in Loki.

    Exit status: 0 if so; 3 if nothing is missing but what Loki refused or truncated; else 1.
    """
    from tracetail.agent.checked_settings import redactor_of
    from tracetail.agent.journal.database import journal_path
    from tracetail.agent.verify import launches_of
    from tracetail.agent.verify import verify as verify_launch
    from tracetail.loki.client import LokiClient
    from tracetail.loki.errors import LokiError

    settings = load_configuration(config)
    directories = state_dirs(settings)

    found, unreadable = launches_of(directories, trace_id)
    for reason in unreadable:
        click.echo(f"warning: {reason}", err=True)

    async def run() -> "list[Report]":
        redactor = redactor_of(settings.agent)
        journal = journal_path(directories[0])
        async with LokiClient(settings.loki) as loki:
            return [
                await verify_launch(launch, record, journal, redactor, loki, settings.agent.log_roots)
                for launch, record in found
            ]

    try:
        reports = asyncio.run(run())
    except LokiError as error:
        fail(str(error))
    except ValueError as error:  # a setting that cannot be used
        fail(str(error), BAD_USAGE)
    complete = bool(reports) and all(report.complete for report in reports)
    if as_json:
        launches = [report.as_json() for report in reports]
        click.echo(json.dumps({"traceId": trace_id, "complete": complete, "launches": launches}))
    elif not reports:
        click.echo(f"no launch of trace {trace_id} is known on this machine", err=True)
    for report in [] if as_json else reports:
        _show(report)
    if complete:
        sys.exit(0)
    sys.exit(REFUSED if reports and all(report.accounted_for for report in reports) else 1)


def _show(report: "Report") -> None:
    verdict = "complete" if report.complete else "NOT complete"
    click.echo(
        f"{report.launch_id} ({report.state}): {verdict}: {report.lines} lines on disk, "
        f"{report.found} of them in Loki, {report.rejected} rejected, {report.redacted} secrets masked"
    )
    if report.rejected:
        click.echo("  Loki refused lines: `tracetail agent rejected` lists them and why; it can send them again")
    if report.truncated:
        click.echo(
            f"  truncated: of {report.truncated} lines Loki has the first {report.truncated_bytes} bytes only "
            "(max_line_size_truncate): raise max_line_size in Loki"
        )
    for gap in report.missing:
        click.echo(f"  missing: {gap.file} bytes {gap.start} to {gap.end} ({gap.lines} lines)")
    for lost in report.lost:
        known = f"bytes {lost.start} to {lost.end}" if lost.end > lost.start else f"from byte {lost.start} on"
        click.echo(f"  lost: {lost.file} {known}: {lost.reason}")
    for name in report.gone:
        click.echo(f"  no longer on disk: {name}")
    if report.gone and not report.receipt:
        click.echo("  and its stream has no receipt, so the lines of these files cannot be counted")
    if report.missing and report.is_running:
        click.echo("  it still runs: its last lines may be on their way; try again in a moment")
