"""`tracetail gc`: removes old launches and shipped segments."""

import json

import click

from tracetail.cli.errors import load_configuration
from tracetail.cli.launch import parameters


@click.command()
@click.option(
    "--keep-days",
    type=float,
    default=None,
    help="Remove launches that ended more than DAYS ago (14).",
    metavar="DAYS",
)
@click.option(
    "--keep-launches", type=int, default=None, help="Keep at most N ended launches, the newest (200).", metavar="N"
)
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def gc(config: str | None, keep_days: float | None, keep_launches: int | None, dry_run: bool, as_json: bool) -> None:
    """Remove old launches, and segments that the agent has shipped."""
    from tracetail.launcher.operations import garbage_collect

    min_free_bytes = load_configuration(config).launcher.min_free_bytes
    removed = list(
        garbage_collect.collect(
            parameters.state_dir(),
            keep_days=garbage_collect.DEFAULT_KEEP_DAYS if keep_days is None else keep_days,
            keep_launches=garbage_collect.DEFAULT_KEEP_LAUNCHES if keep_launches is None else keep_launches,
            min_free_bytes=min_free_bytes,
            dry_run=dry_run,
        )
    )
    if as_json:
        rows = [{"path": str(one.path), "bytes": one.bytes, "shipped": one.shipped} for one in removed]
        click.echo(json.dumps(rows, indent=2))
        return
    for one in removed:
        lost = "" if one.shipped else ", removed because the disk is full: Loki does not have all of it"
        click.echo(f"{one.path}" + (f" {one.bytes} bytes" if one.bytes else "") + lost)
    total = sum(one.bytes for one in removed)
    click.echo(f"{'would remove' if dry_run else 'removed'} {len(removed)} files and directories, {total} bytes")
    if not dry_run:
        _warn_of_a_full_disk(min_free_bytes)


def _warn_of_a_full_disk(min_free_bytes: int) -> None:
    from tracetail.launcher.log.retention import free_bytes

    state_dir = parameters.state_dir()
    free = free_bytes(state_dir) if state_dir.is_dir() else min_free_bytes
    if free < min_free_bytes:
        click.echo(
            f"warning: only {free // 1024**2} MiB are free, and no other ended launch can be removed: "
            "free disk space otherwise, or lower [launcher] min_free_disk_mb",
            err=True,
        )
