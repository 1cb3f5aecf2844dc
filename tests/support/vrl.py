"""Runs the remap program of deploy/vector with Vector's own language runtime, and translates patterns into VRL."""

import os
import re
import sys
from pathlib import Path

import pytest

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


def vrl_pattern(regex):
    """Return an RE2 pattern of tracetail.contract.masking as a raw regex of VRL (Rust's regex, on Unicode text)."""
    regex = regex.replace(r"\b", r"(?-u:\b)").replace("'", r"\x27")
    regex = re.sub(r"\[([^\]]*)\\s([^\]]*)\]", r"[\1\\t\\n\\f\\r \2]", regex)
    return regex.replace(r"\s", r"[\t\n\f\r ]")
