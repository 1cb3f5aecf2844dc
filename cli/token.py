"""`tracetail token`: creates an access token for the panel."""

import click

from tracetail.cli.errors import BAD_USAGE, fail, load_configuration
from tracetail.panel.auth.access import READ, SCOPES, Keys


@click.command()
@click.option(
    "--trace-id", "trace_ids", multiple=True, required=True, help="A trace that the token opens; repeatable."
)
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it allows (read); repeatable."
)
@click.option("--seconds", type=click.IntRange(1), help="How long it is valid (else panel.token_seconds).")
@click.option("--origin", help="The only page that may use it, for instance https://platform.example.")
@click.pass_obj
def token(
    config: str | None, trace_ids: tuple[str, ...], scopes: tuple[str, ...], seconds: int | None, origin: str | None
) -> None:
    """Create an access token for the panel, signed with panel.secret_file or the shared secret, and print it."""
    from tracetail.cli import configuration

    loaded = load_configuration(config)
    settings = loaded.panel
    try:
        minted = Keys(settings, configuration.secret_file("panel", loaded)).mint(
            trace_ids, scopes=scopes or (READ,), seconds=seconds or settings.token_seconds, origin=origin
        )
    except ValueError as error:
        fail(str(error), BAD_USAGE)
    click.echo(minted)
