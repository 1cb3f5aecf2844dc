"""`tracetail panel`: runs the log panel and its API."""

import asyncio
from functools import partial

import click

from tracetail.cli.errors import BAD_USAGE, fail, load_part_configuration
from tracetail.cli.service import log_to_stderr, print_address, raise_open_file_limit
from tracetail.contract.access import UnsafeBindError, check_bind, parse_listen
from tracetail.panel.server import PanelServer


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="The address (else panel.listen of the configuration).")
@click.pass_obj
def panel(config: str | None, listen: str | None) -> None:
    """Run the log panel and its API."""
    from tracetail.agent.checked_settings import redactor_of
    from tracetail.cli import configuration

    log_to_stderr()
    raise_open_file_limit()
    settings = load_part_configuration("panel", config)
    try:
        host, port = parse_listen("panel.listen", listen or settings.panel.listen)
        server = PanelServer(
            settings.panel, settings.loki, redactor_of(settings.agent), configuration.secret_file("panel", settings)
        )
    except ValueError as error:
        fail(str(error), BAD_USAGE)
    try:
        check_bind("panel", host, has_secret=server.keys.configured, secret_setting="panel.secret_file")  # noqa: S106
        asyncio.run(server.serve(host, port, partial(print_address, "panel")))
    except (UnsafeBindError, OSError) as error:
        fail(str(error))
