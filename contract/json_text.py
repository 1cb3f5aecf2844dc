"""JSON that is printed: on a terminal, too, no character of it controls anything."""

import codecs
import json
import re
from typing import Any

_CONTROLS = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What json.dumps() leaves as it is: DEL, C1 (U+009B begins a sequence as ESC [ does), bidirectional marks, halves of
characters."""
ERROR_HANDLER = "tracetail.json"
"""Name, for an output's `errors`: what its encoding does not have is printed as JSON escapes it."""


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON text, in which control characters are escapes."""
    return _CONTROLS.sub(_escape, json.dumps(value, ensure_ascii=False, indent=indent))


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1].replace("\x7f", r"\u007f")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ERROR_HANDLER, _escaped)
