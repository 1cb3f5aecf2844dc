"""Runs the remap program of deploy/vector with Vector's own language runtime, and translates patterns into VRL."""

import os
import re
import sys
from pathlib import Path

import pytest

from tracetail.contract.engine_lines import FATAL, FORMS, NESTED_STARTS, PREFIX_PATTERN

PROGRAM = Path(__file__).parents[2] / "deploy" / "vector" / "tracetail.vrl"
# Python's datetime has no nanoseconds; Loki's sink takes them from the timestamp itself.
_READ_AT = ".timestamp = t'2026-10-04T00:00:00Z'\n"  # what Vector's file source sets
_NANOSECONDS = '\n.nanoseconds = to_unix_timestamp(.timestamp, unit: "nanoseconds")\n.'


def transform(source):
    """Return a compiled VRL program; skip the test where pyVRL is missing."""
    try:
        import pyvrl
    except ModuleNotFoundError:
        if os.environ.get("TRACETAIL_TEST_REQUIRE_PROGRAMS") and sys.version_info < (3, 13):
            raise
        pytest.skip("needs pyVRL: pip install 'tracetail[vrl]' (it has wheels for Python 3.11 and 3.12 only)")
    return pyvrl.Transform(source)


class Remap:
    """The program, followed by `then`, if that is given."""

    def __init__(self, then=""):
        self._transform = transform(f"{_READ_AT}{PROGRAM.read_text(encoding='utf-8')}\n{then}\n{_NANOSECONDS}")

    def __call__(self, line, file, host="machine-a"):
        """Return the event that the program makes of one line of a file, with .nanoseconds added."""
        return self._transform.remap({"message": line, "file": str(file), "host": host, "source_type": "file"})


def vrl_header_lines():
    """Return what the program has to contain of the grammar: prefix, forms, what may follow one, fatal texts."""
    forms = [
        f"if h == null {{ h = parse_regex(body, r'(?s)^{vrl_form(form.pattern)}(?P<rest>.*)$') ?? null }}"
        for form in FORMS.values()
    ]
    prefix = f"r'(?s)^{vrl_form(PREFIX_PATTERN)}(?P<body>.*)$'"
    return prefix, forms, _beginning(NESTED_STARTS), _beginning(FATAL)


def _beginning(texts):
    return (
        "r'^(?:"
        + "|".join(re.escape(text.decode()).replace("\\ ", " ").replace("'", r"\x27") for text in texts)
        + ")'"
    )


_CLASSES = {"w": "0-9A-Za-z_", "d": "0-9", "s": r"\t\n\x0b\f\r "}


def vrl_form(regex):
    """Return a pattern of tracetail.contract.header_forms as Rust's regex, on Unicode text, with ASCII classes."""
    out = ""
    in_class = False
    for token in re.findall(r"\\.|.", regex):
        if token[1:] in _CLASSES:
            out += _CLASSES[token[1:]] if in_class else f"[{_CLASSES[token[1:]]}]"
            continue
        in_class = token == "[" or (in_class and token != "]")
        out += {r"\b": r"(?-u:\b)", "'": r"\x27", r"\"": '"'}.get(token, token)
    return out


def vrl_pattern(regex):
    """Return an RE2 pattern of tracetail.contract.masking as a raw regex of VRL (Rust's regex, on Unicode text)."""
    regex = regex.replace(r"\b", r"(?-u:\b)").replace("'", r"\x27")
    regex = re.sub(r"\[([^\]]*)\\s([^\]]*)\]", r"[\1\\t\\n\\f\\r \2]", regex)
    return regex.replace(r"\s", r"[\t\n\f\r ]")
