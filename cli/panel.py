"""`tracetail panel` and `tracetail token`."""

import asyncio
import logging
import sys

import click

from tracetail.cli import configuration
from tracetail.contract.access import UnsafeBindError, check_bind, parse_listen
from tracetail.contract.secret_file import SecretFileError
from tracetail.panel.auth.access import READ, SCOPES, Keys
from tracetail.panel.server import PanelServer


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="The address (else panel.listen of the configuration).")
@click.pass_context
def panel(ctx: click.Context, listen: str | None) -> None:
    """Run the log panel and its API."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    try:
        loaded = configuration.load(ctx.obj)
        host, port = parse_listen("panel.listen", listen or loaded.panel.listen)
        server = PanelServer(loaded.panel, loaded.loki)
    except (configuration.ConfigurationError, SecretFileError, ValueError) as error:
        click.echo(f"tracetail panel: {error}", err=True)
        sys.exit(2)
    try:
        check_bind("panel", host, has_secret=server.keys.exist, secret_setting="panel.secret_file")  # noqa: S106
        asyncio.run(server.serve(host, port, _print_address))
    except (UnsafeBindError, OSError) as error:
        click.echo(f"tracetail panel: {error}", err=True)
        sys.exit(1)


def _print_address(url: str) -> None:
    print(f"tracetail panel: listening on {url}", flush=True)


@click.command()
@click.option(
    "--trace-id", "trace_ids", multiple=True, required=True, help="A trace that the token opens; repeatable."
)
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it allows (read).")
@click.option("--seconds", type=click.IntRange(1), help="How long it lasts (else panel.token_seconds).")
@click.option("--origin", help="The only page that may use it, as https://platform.example.")
@click.pass_context
def token(
    ctx: click.Context, trace_ids: tuple[str, ...], scopes: tuple[str, ...], seconds: int | None, origin: str | None
) -> None:
    """Mint an access token for the panel, signed with panel.secret_file, and print it."""
    try:
        settings = configuration.load(ctx.obj).panel
        minted = Keys(settings).mint(
            trace_ids, scopes=scopes or (READ,), seconds=seconds or settings.token_seconds, origin=origin
        )
    except (configuration.ConfigurationError, SecretFileError, ValueError) as error:
        click.echo(f"tracetail token: {error}", err=True)
        sys.exit(2)
    click.echo(minted)
