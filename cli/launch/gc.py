"""`tracetail gc`: removes old launches, shipped segments, and containers without a launch."""

import math
from typing import Any

import click

from tracetail.cli.errors import load_configuration
from tracetail.cli.language import both
from tracetail.cli.launch import parameters
from tracetail.cli.printable import printable
from tracetail.contract.json_text import json_text


class _Days(click.FloatRange):
    """A number of days from 0 on."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse `nan`, too, which is neither in a range nor outside."""
        days: float = super().convert(value, param, ctx)
        if math.isnan(days):
            self.fail(both(f"{value!r} is not a number", f"{value!r} 不是数字"), param, ctx)
        return days


@click.command()
@click.option(
    "--keep-days",
    type=_Days(min=0),
    default=None,
    help="Remove launches that ended more than DAYS ago (14).",
    metavar="DAYS",
)
@click.option(
    "--keep-launches",
    type=click.IntRange(min=0),
    default=None,
    help="Keep at most N ended launches, the newest (200).",
    metavar="N",
)
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def gc(config: str | None, keep_days: float | None, keep_launches: int | None, dry_run: bool, as_json: bool) -> None:
    """Remove old launches, segments that the agent has shipped, and containers whose launch has ended."""
    from tracetail.launcher.operations import garbage_collect

    min_free_bytes = load_configuration(config).launcher.min_free_bytes
    removed = list(
        garbage_collect.collect(
            parameters.state_dir(),
            keep_days=garbage_collect.DEFAULT_KEEP_DAYS if keep_days is None else keep_days,
            keep_launches=garbage_collect.DEFAULT_KEEP_LAUNCHES if keep_launches is None else keep_launches,
            min_free_bytes=min_free_bytes,
            dry_run=dry_run,
            problem=_warn,
        )
    )
    if as_json:
        rows = [
            {"container": str(one.path), "runtime": one.runtime}
            if one.runtime
            else {"path": str(one.path), "bytes": one.bytes, "shipped": one.shipped}
            for one in removed
        ]
        click.echo(json_text(rows, indent=2))
        return
    for one in removed:
        if one.runtime:
            name = f"{one.runtime} container {one.path}"
            click.echo(both(f"{name}, whose launch has ended", f"{one.runtime} 容器 {one.path}，其启动已结束"))
            continue
        english = ", removed because the disk is full: Loki does not have all of it"
        lost = "" if one.shipped else both(english, "，因磁盘已满而删除：Loki 没有其全部内容")
        size = both(f" {one.bytes} bytes", f" {one.bytes} 字节") if one.bytes else ""
        click.echo(printable(f"{one.path}{size}{lost}"))
    containers = sum(bool(one.runtime) for one in removed)
    count, total = len(removed) - containers, sum(one.bytes for one in removed)
    verb = both("would remove", "将删除") if dry_run else both("removed", "已删除")
    more = both(f", {containers} containers", f"，{containers} 个容器") if containers else ""
    english = f"{verb} {count} files and directories, {total} bytes{more}"
    click.echo(both(english, f"{verb} {count} 个文件和目录，共 {total} 字节{more}"))
    if not dry_run:
        _warn_of_a_full_disk(min_free_bytes)


def _warn(problem: str) -> None:
    click.echo(printable(both(f"warning: {problem}", f"警告：{problem}")), err=True)


def _warn_of_a_full_disk(min_free_bytes: int) -> None:
    from tracetail.launcher.log.retention import free_bytes

    state_dir = parameters.state_dir()
    free = free_bytes(state_dir) if state_dir.is_dir() else min_free_bytes
    if free < min_free_bytes:
        left = free // 1024**2
        click.echo(
            both(
                f"warning: only {left} MiB are free, and no other ended launch can be removed: "
                "free disk space otherwise, or lower [launcher] min_free_disk_mb",
                f"警告：只剩 {left} MiB，没有其他已结束的启动可以删除：请用其他方式清理磁盘，"
                "或调低 [launcher] min_free_disk_mb",
            ),
            err=True,
        )
