"""`tracetail open`: prints the panel's address of a launch or trace, and opens it where there is a browser."""

import os
import sys

import click

from tracetail.cli.completing import completer
from tracetail.cli.errors import fail, load_configuration
from tracetail.cli.language import both
from tracetail.cli.log_choice import Choice, by_options, by_word
from tracetail.cli.panel_address import add_token, answers, page
from tracetail.contract import labels as names
from tracetail.contract.port_owner import StrangerError
from tracetail.contract.state import state_dir


@click.command("open")
@click.argument("what", required=False, shell_complete=completer("launchId", "modelName", "traceId"))
@click.option("--trace-id", metavar="ID", help="The log of this trace.", shell_complete=completer("traceId"))
@click.option("--print", "only_print", is_flag=True, help="Print the address only.")
@click.pass_obj
def open_(config: str | None, what: str | None, trace_id: str | None, only_print: bool) -> None:
    """Print the panel's address of a launch or trace, with a token for an hour, and open it in a browser.

    WHAT is a launchId or the end of one, the name of a model (its newest launch on this machine), or a traceId.
    Without it: the list of launches. The address of a panel on another machine is panel.url of the configuration.
    """
    settings = load_configuration(config)
    if trace_id is not None:
        choice = by_options(trace_id, None, None, state_dir(os.environ))
    elif what is not None:
        choice = by_word(what, state_dir(os.environ))
    else:
        choice = None
    if not answers(settings):
        where = settings.panel.listen
        fail(
            both(
                f"no panel listens at {where}: start one with `tracetail up`, or set panel.url to the address of one "
                "on another machine",
                f"{where} 上没有面板：用 `tracetail up` 启动一个，或把 panel.url 设为另一台机器上的面板地址",
            )
        )
    shown = _shown(choice) if choice else {}
    try:
        address = add_token(page(settings, **shown), settings, shown.get("traceId", ""))
    except StrangerError as error:
        fail(both(str(error), f"{settings.panel.listen} 上监听的是另一用户的程序，不能把令牌交给它：{error}"))
    click.echo(address)
    if not only_print and _has_browser() and click.launch(address):
        fail(both("no browser could be started: open the address above", "无法启动浏览器：请打开上面的地址"))


def _shown(choice: Choice) -> dict[str, str]:
    """Return the page's parameters for a log."""
    shown = {}
    if names.LAUNCH_ID in choice.streams:
        shown["launchId"] = choice.streams[names.LAUNCH_ID]
    trace = choice.streams.get(names.TRACE_ID) or next((one.record["traceId"] for one in choice.launches), "")
    return {**shown, "traceId": trace} if trace else shown


def _has_browser() -> bool:
    """Return whether a browser can show a window: not over ssh, and not in a job of a scheduler."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
