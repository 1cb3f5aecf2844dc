"""Where the lines of a start can be read: the panel's address, and a warning where no agent ships them."""

from typing import TYPE_CHECKING

import click

from tracetail.cli.language import both
from tracetail.cli.terminal import is_terminal
from tracetail.launcher.result import Result

if TYPE_CHECKING:
    from tracetail.cli.configuration import Configuration


def in_the_panel(result: Result) -> Result:
    """Return the result of a start with the panel's page of its launch, if there is a panel."""
    from tracetail.cli.panel_address import answers, page

    settings = _settings()
    if settings is None or result.record is None or not answers(settings):
        return result
    shown = {"launchId": result.record["launchId"], "traceId": result.record["traceId"]}
    return result._replace(panel_url=page(settings, **shown))


def print_link(result: Result) -> None:
    """Print the panel's page of the result: a person gets a token for an hour with it, a scheduler's log none."""
    from tracetail.cli.panel_address import add_token

    settings = _settings() if result.panel_url else None
    if settings is None or result.record is None:
        return
    address = result.panel_url
    if is_terminal():
        address = add_token(address, settings, result.record["traceId"])
    click.echo(both(f"panel: {address}", f"面板：{address}"))


def warn_without_agent() -> None:
    """Print a warning if no agent of this machine will ship the lines of a launch."""
    from tracetail.cli.panel_address import listens

    settings = _settings()
    if settings is not None and not listens("agent.listen", settings.agent.listen):
        where = settings.agent.listen
        english = (
            f"warning: no agent answers at {where}: the lines stay on this machine (`tracetail logs --local`) until "
            "one runs: `tracetail agent`, or `tracetail up` for a first try"
        )
        chinese = (
            f"警告：{where} 上没有 agent 应答：日志只留在本机（`tracetail logs --local`），直到有 agent 运行："
            "`tracetail agent`，试用时 `tracetail up`"
        )
        click.echo(both(english, chinese), err=True)


def _settings() -> "Configuration | None":
    from tracetail.cli import config_sources, configuration

    try:
        return configuration.load(click.get_current_context().find_root().obj)
    except config_sources.ConfigurationError:
        return None  # the command itself has said so
