"""Prints entries of a log: coloured for a person, plain in a pipe, JSON for a program."""

import json
import re
from datetime import datetime

import click

from tracetail.contract import labels as names
from tracetail.panel.trace.entry import Entry

_COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "red"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]|\x1b(?!\[[0-9;]*m)")
"""What a log must not send to a terminal: control characters other than tabs and colours, and bidi overrides."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class LogPrinter:
    """Prints each entry as one line."""

    def __init__(self, *, as_json: bool, raw: bool, colour: bool) -> None:
        """as_json: a JSON object for each. raw: the text alone. colour: of the levels, for a terminal."""
        self._as_json = as_json
        self._raw = raw
        self._colour = colour
        self.count = 0

    def print(self, entry: Entry) -> None:
        """Print one entry."""
        self.count += 1
        if self._as_json:
            text = json.dumps({**entry.as_json(), "labels": launch_labels_of(entry)}, ensure_ascii=False)
        elif self._raw:
            text = entry.text
        else:
            text = self._formatted(entry)
        click.echo(text, color=True)  # click must not remove colours: _formatted does where they are unwanted

    def _formatted(self, entry: Entry) -> str:
        fields = entry.stream.fields
        time = datetime.fromtimestamp(entry.time_ns / 1e9).astimezone()
        clock = time.strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03d}"
        level = fields.get(names.METADATA_LEVEL, "")
        if not self._colour:
            return f"{clock} {level.upper():8} {_CONTROL.sub(REPLACEMENT, click.unstyle(entry.text))}"
        text = _CONTROL.sub(REPLACEMENT, entry.text)
        if fields.get(names.METADATA_KIND) == "event":
            return f"{click.style(clock, dim=True)} {click.style('● ' + text, fg='cyan')}"
        return f"{click.style(clock, dim=True)} {click.style(text, fg=_COLOURS.get(level), bold=level == 'critical')}"


def launch_labels_of(entry: Entry) -> dict[str, str]:
    """Return the labels of the entry's stream, without its structured metadata."""
    metadata = set(names.METADATA_NAMES)
    return {name: value for name, value in entry.stream.fields.items() if name not in metadata}
