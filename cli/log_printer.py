"""Prints entries of a log: coloured for a person, plain in a pipe, JSON for a program."""

import re
from datetime import datetime

import click

from tracetail.cli.event_sentence import event_sentence
from tracetail.cli.words import event_text
from tracetail.contract import labels as names
from tracetail.contract.json_text import json_text
from tracetail.panel.trace.entry import Entry

_COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "red", "critical": "red"}
_NAME_COLOURS = ("cyan", "magenta", "green", "blue", "bright_cyan", "bright_magenta", "bright_green", "bright_blue")
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
        self._names: dict[str, str] = {}
        self.several = False
        """Whether lines of several logs are printed: each then has the name of its log in front."""
        self.count = 0

    def print_left_out(self) -> None:
        """Print the mark of lines that are left out."""
        if not self._as_json:
            click.echo("--")

    def print(self, entry: Entry, mark: str = "") -> None:
        """Print one entry. mark: in front of it, where a person reads."""
        self.count += 1
        if self._as_json:
            text = json_text({**entry.as_json(), "labels": launch_labels_of(entry)})
        elif self._raw:
            text = entry.text
        else:
            text = mark + self._formatted(entry)
        click.echo(text, color=True)  # click must not remove colours: _formatted does where they are unwanted

    def _formatted(self, entry: Entry) -> str:
        fields = entry.stream.fields
        time = datetime.fromtimestamp(entry.time_ns / 1e9).astimezone()
        clock = time.strftime("%Y-%m-%d %H:%M:%S.") + f"{time.microsecond // 1000:03d}"
        level = fields.get(names.METADATA_LEVEL, "")
        if self.several:
            clock = f"{clock} {self._name(entry)}"
        event = fields.get(names.METADATA_KIND) == "event"
        if not self._colour:
            shown = event_text(entry.text) if event else entry.text
            return f"{clock} {level.upper():8} {_CONTROL.sub(REPLACEMENT, click.unstyle(shown))}"
        text = _CONTROL.sub(REPLACEMENT, event_sentence(entry.text) if event else entry.text)
        if event:
            return f"{click.style(clock, dim=True)} {click.style('● ' + text, fg='cyan')}"
        return f"{click.style(clock, dim=True)} {click.style(text, fg=_COLOURS.get(level), bold=level == 'critical')}"

    def _name(self, entry: Entry) -> str:
        """Return the name of the entry's log: of its model, and the end of its launchId; in a colour of its own."""
        source = entry.stream.source
        if source not in self._names:
            fields = entry.stream.fields
            model = _CONTROL.sub(REPLACEMENT, fields.get(names.SERVICE_NAME, ""))
            name = f"{model}/{source[-6:]}" if model else source[-12:]
            colour = _NAME_COLOURS[len(self._names) % len(_NAME_COLOURS)]
            self._names[source] = click.style(name, fg=colour) if self._colour else name
        return self._names[source]


def launch_labels_of(entry: Entry) -> dict[str, str]:
    """Return the labels of the entry's stream, without its structured metadata."""
    metadata = set(names.METADATA_NAMES)
    return {name: value for name, value in entry.stream.fields.items() if name not in metadata}
