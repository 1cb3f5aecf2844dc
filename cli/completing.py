"""What the shell completes: ids, models and traces of this machine's launches, newest first."""

import os
from collections.abc import Callable, Iterator

import click
from click.shell_completion import CompletionItem

from tracetail.cli.words import state_word

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_MOST = 100
"""Completions that are offered: a shell asks before it lists more."""


def completer(*fields: str) -> Completer:
    """Return a completer that offers the values of these fields of the launches on record, each with its service."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del ctx, param
        found: dict[str, str] = {}
        for value, what in _values(fields):
            if value.startswith(incomplete):
                found.setdefault(value, what)
            if len(found) == _MOST:
                break
        return [CompletionItem(value, help=what) for value, what in found.items()]

    return complete


def _values(fields: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    from tracetail.contract.state import state_dir
    from tracetail.launcher import registry

    for launch in registry.launches(state_dir(os.environ)):
        for field in fields:
            value = launch.record.get(field)
            if isinstance(value, str) and value:
                yield value, f"{launch.record.get('service', '')} {state_word(launch.state)}"
