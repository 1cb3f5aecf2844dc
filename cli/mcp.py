"""`tracetail mcp`: tools for assistants, by the Model Context Protocol, over stdio or HTTP."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from tracetail.cli.configuration import local_url
from tracetail.cli.errors import BAD_USAGE, fail, load_configuration
from tracetail.cli.language import both
from tracetail.contract.access import parse_listen

if TYPE_CHECKING:
    from tracetail.client.source import Source


@click.command()
@click.option("--http", "listen", metavar="HOST:PORT", help="Serve streamable HTTP at /mcp, instead of stdio.")
@click.option("--panel", metavar="URL", help="Read from this panel (else $TRACETAIL_PANEL_URL, else this machine).")
@click.pass_obj
def mcp(config: str | None, listen: str | None, panel: str | None) -> None:
    """Serve tools for assistants (Model Context Protocol): launches, why one failed, lines, comparisons.

    They read only. By stdio: this machine's launches, or with --panel those that the token in $TRACETAIL_TOKEN_FILE
    or $TRACETAIL_TOKEN may read. By HTTP each request is answered with the panel's token that it carries as
    Authorization: Bearer, and never from this machine's files.
    """
    try:
        import mcp as sdk  # noqa: F401
    except ImportError:
        english = "tracetail mcp needs the Model Context Protocol's SDK: pip install 'tracetail[mcp]'"
        fail(both(english, "tracetail mcp 需要 MCP 的 SDK：pip install 'tracetail[mcp]'"), BAD_USAGE)
    from tracetail.client.errors import TracetailError

    try:
        if listen is None:
            _serve_stdio(config, panel)
        else:
            _serve_http(config, panel, listen)
    except (TracetailError, ValueError) as error:
        fail(str(error), BAD_USAGE)


def _serve_stdio(config: str | None, panel: str | None) -> None:
    from tracetail.assistant.server import make_server
    from tracetail.client.machine import Machine
    from tracetail.client.panel import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE, Panel

    environ = dict(os.environ)
    named = environ.get(URL_VARIABLE, "")
    has_token = bool(environ.get(TOKEN_FILE_VARIABLE) or environ.get(TOKEN_VARIABLE))
    url = panel if panel is not None else named if has_token else ""
    source: Source = Panel(url, None, environ) if url else Machine(environ, config, named)
    make_server(lambda _: source).run("stdio")


def _serve_http(config: str | None, panel: str | None, listen: str) -> None:
    from tracetail.assistant.server import make_server
    from tracetail.client.panel import Panel

    host, port = parse_listen("--http", listen)
    settings = load_configuration(config)
    url = panel or settings.panel.url or local_url("panel.listen", settings.panel.listen)

    def source_of(headers: Mapping[str, str]) -> "Source":
        scheme, _, token = headers.get("authorization", "").partition(" ")
        # Without a token the panel decides: the secret of this machine is not lent to whoever asks.
        return Panel(url, token.strip() if scheme.lower() == "bearer" else "", {})

    english = f"tracetail mcp listening on http://{listen}/mcp, reading from the panel {url}"
    click.echo(both(english, f"tracetail mcp 监听 http://{listen}/mcp，从面板 {url} 读取"))
    make_server(source_of).run("streamable-http", host=host, port=port, stateless_http=True, json_response=True)
