"""The language of what commands print for people: English, or Chinese by --lang, $TRACETAIL_LANG or the locale.

A text stands in both languages where it is printed: `both("…", "…")`. What programs read (TRACETAIL_RESULT, --json)
does not depend on the language: it has English keys, and the cause in both (`cause`, `causeZh`).
"""

import contextlib
import contextvars
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

LANGUAGES = ("en", "zh")
VARIABLE = "TRACETAIL_LANG"
_VARIABLES = (VARIABLE, "LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set counts, as in locale(7)."""
_chosen: contextvars.ContextVar[str | None] = contextvars.ContextVar("language", default=None)
_fixed: contextvars.ContextVar[bool] = contextvars.ContextVar("fixed", default=False)
"""Whether --lang changes nothing."""


def remember(_context: click.Context, _option: click.Parameter, given: str | None) -> None:
    """Keep the value of --lang for the command that follows. A callback of click."""
    if given is not None and not _fixed.get():
        _chosen.set(given)


with_language = click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    expose_value=False,
    is_eager=True,
    callback=remember,
    help="The language of what is printed for people (else $TRACETAIL_LANG, then the locale).",
)
"""Gives a command the option --lang."""


def named_in(args: Sequence[str]) -> str | None:
    """Return the language that --lang names in a command line, wherever it stands; None if it names none.

    A page of help is in it, too, where --lang stands behind --help, or behind the command whose page it is.
    """
    words = list(itertools.takewhile(lambda word: word != "--", args))
    named = [word.removeprefix("--lang=") for word in words if word.startswith("--lang=")]
    named += [value for option, value in itertools.pairwise(words) if option == "--lang"]
    return next((one for one in named if one in LANGUAGES), None)


@contextlib.contextmanager
def chosen(name: str | None) -> Iterator[None]:
    """Print in this language until the end of the block, where no --lang is given in it; None for the locale's.

    With "en" around what programs read.
    """
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


@contextlib.contextmanager
def fixed(name: str) -> Iterator[None]:
    """Print in this language until the end of the block, whatever a --lang says that is parsed in it."""
    token = _fixed.set(True)
    try:
        with chosen(name):
            yield
    finally:
        _fixed.reset(token)


def language(environ: Mapping[str, str] = os.environ) -> str:
    """Return the language to print in, one of LANGUAGES."""
    if (given := _chosen.get()) is not None:
        return given
    named = next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    return "zh" if named.lower().startswith("zh") else "en"


def both(english: str, chinese: str) -> str:
    """Return the one of a text's two versions that is to be printed."""
    return chinese if language() == "zh" else english


def in_language(values: Mapping[str, Any], name: str) -> str:
    """Return a text of a result, record or event: `causeZh` in place of `cause`, where it is there and wanted."""
    return str((values.get(f"{name}Zh") if language() == "zh" else None) or values.get(name) or "")
