"""`tracetail verify`: checks that every line of a trace is in Loki."""

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from tracetail.cli.agent_state import state_dirs
from tracetail.cli.errors import BAD_USAGE, fail, load_configuration
from tracetail.cli.language import both
from tracetail.cli.words import state_word
from tracetail.contract.json_text import json_text

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
        click.echo(both(f"warning: {reason}", f"警告：{reason}"), err=True)

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
        click.echo(json_text({"traceId": trace_id, "complete": complete, "launches": launches}))
    elif not reports:
        english = f"no launch of trace {trace_id} is known on this machine"
        click.echo(both(english, f"本机没有 trace {trace_id} 的启动"), err=True)
    for report in [] if as_json else reports:
        _show(report)
    if complete:
        sys.exit(0)
    sys.exit(REFUSED if reports and all(report.accounted_for for report in reports) else 1)


def _show(report: "Report") -> None:
    verdict = both("complete", "完整") if report.complete else both("NOT complete", "不完整")
    click.echo(
        both(
            f"{report.launch_id} ({report.state}): {verdict}: {report.lines} lines on disk, "
            f"{report.found} of them in Loki, {report.rejected} rejected, {report.redacted} secrets masked",
            f"{report.launch_id}（{state_word(report.state)}）：{verdict}：磁盘上 {report.lines} 行，"
            f"其中 {report.found} 行在 Loki 中，被拒收 {report.rejected} 行，遮盖机密 {report.redacted} 处",
        )
    )
    if report.rejected:
        listing = "`tracetail agent rejected`"
        english = f"  Loki refused lines: {listing} lists them and why; it can send them again"
        click.echo(both(english, f"  Loki 拒收了一些行：{listing} 列出它们和原因，也可以重新发送"))
    if report.truncated:
        english = f"of {report.truncated} lines Loki has the first {report.truncated_bytes} bytes only"
        chinese = f"有 {report.truncated} 行在 Loki 中只有前 {report.truncated_bytes} 字节"
        click.echo(
            both(
                f"  truncated: {english} (max_line_size_truncate): raise max_line_size in Loki",
                f"  被截断：{chinese}（max_line_size_truncate）：请调大 Loki 的 max_line_size",
            )
        )
    for gap in report.missing:
        english = f"  missing: {gap.file} bytes {gap.start} to {gap.end} ({gap.lines} lines)"
        click.echo(both(english, f"  缺失：{gap.file} 第 {gap.start} 至 {gap.end} 字节（{gap.lines} 行）"))
    for lost in report.lost:
        if lost.end > lost.start:
            known = both(f"bytes {lost.start} to {lost.end}", f"第 {lost.start} 至 {lost.end} 字节")
        else:
            known = both(f"from byte {lost.start} on", f"从第 {lost.start} 字节起")
        click.echo(both(f"  lost: {lost.file} {known}: {lost.reason}", f"  丢失：{lost.file} {known}：{lost.reason}"))
    for name in report.gone:
        click.echo(both(f"  no longer on disk: {name}", f"  已不在磁盘上：{name}"))
    if report.gone and not report.receipt:
        english = "  and its stream has no receipt, so the lines of these files cannot be counted"
        click.echo(both(english, "  它的日志流中也没有收据，因此无法核对这些文件的行数"))
    if report.missing and report.is_running:
        english = "  it still runs: its last lines may be on their way; try again in a moment"
        click.echo(both(english, "  服务仍在运行：最后几行可能还在上传途中，请稍后再试"))
