"""`tracetail doctor`: runs every check and prints its findings, with advice."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator

import click

from tracetail.cli import config_sources, configuration
from tracetail.cli.findings import OK, PROBLEM, WARNING, Finding, ok, problem
from tracetail.cli.language import both, chosen
from tracetail.cli.printable import printable_lines
from tracetail.cli.terminal import Spinner
from tracetail.contract.json_text import json_text

_SUBJECTS = {
    "configuration": "配置",
    "build": "编译",
    "secrets": "机密",
    "addresses": "地址",
    "sources": "日志来源",
    "state": "状态目录",
    "launches": "启动记录",
    "callbacks": "回调",
    "survival": "存续",
    "disk": "磁盘",
    "limits": "系统限制",
    "loki": "Loki",
    "clock": "时钟",
    "agent": "agent",
    "panel": "面板",
    "metrics": "指标",
}
_MARKS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), PROBLEM: ("✗", "red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check the set-up of this machine, with advice for each problem.

    Pushes one line to Loki, under service_name="tracetail-doctor", and reads it back; changes nothing else. The exit
    status is 1 if there is a problem, else 0.
    """
    with chosen("en") if as_json else contextlib.nullcontext():
        findings = asyncio.run(_all(ctx.obj, show=not as_json))
    if as_json:
        click.echo(json_text([finding._asdict() for finding in findings], indent=2))
    else:
        problems = sum(finding.level == PROBLEM for finding in findings)
        warnings = sum(finding.level == WARNING for finding in findings)
        counted = f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}"
        click.echo(both(f"\n{counted}", f"\n{problems} 个问题，{warnings} 个警告"))
    sys.exit(any(finding.level == PROBLEM for finding in findings))


async def _all(config: str | None, *, show: bool) -> list[Finding]:
    findings = []
    spinner = Spinner()
    try:
        async for finding in examine(config):
            findings.append(finding)
            if show:
                spinner.clear()
                _print(finding)
                spinner.show(both("checking …", "正在检查 …"))
    finally:
        spinner.clear()
    return findings


async def examine(config: str | None) -> AsyncIterator[Finding]:
    """Yield every finding as it is made. config: the --config path, if one was named."""
    from tracetail.cli import kafka_checks, otlp_checks, service_checks

    try:
        settings = configuration.load(config)
        path = config_sources.config_path(config, os.environ)
    except config_sources.ConfigurationError as error:
        advice = "correct it; `tracetail config example` shows every option"
        yield problem("configuration", str(error), both(advice, "请更正；`tracetail config example` 列出全部选项"))
        return
    none = both("no file: defaults and environment variables only", "没有配置文件：只有默认值和环境变量")
    yield ok("configuration", str(path) if path else none)
    for finding in _of_this_machine(settings):
        yield finding
    checks = (
        service_checks.check_loki,
        kafka_checks.check_kafka,
        otlp_checks.check_otlp,
        service_checks.check_parts,
        service_checks.check_metrics,
    )
    for check in checks:
        async for finding in check(settings):
            yield finding


def _of_this_machine(settings: configuration.Configuration) -> Iterator[Finding]:
    from tracetail.cli import launch_checks, machine_checks

    yield from machine_checks.check_build()
    yield from machine_checks.check_secrets(settings)
    yield from machine_checks.check_addresses(settings)
    yield from machine_checks.check_sources(settings)
    yield from launch_checks.check_state_dir(os.environ)
    yield from launch_checks.check_launches(settings, os.environ)
    yield from launch_checks.check_callbacks(settings, os.environ)
    yield from launch_checks.check_survival(settings, os.environ)
    yield from machine_checks.check_disk(os.environ)
    yield from machine_checks.check_limits()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _print(finding: Finding) -> None:
    mark, colour = _MARKS[finding.level]
    subject = both(f"{finding.subject}: ", f"{_SUBJECTS[finding.subject]}：")
    click.echo(f"{click.style(mark, fg=colour)} {subject}{printable_lines(finding.text)}")
    if finding.advice:
        click.echo(f"    → {printable_lines(finding.advice)}")
