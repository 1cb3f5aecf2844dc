"""Runs the remap program of deploy/vector with Vector's own language runtime, and translates patterns into VRL."""

import os
import re
import sys
from pathlib import Path

import pytest

from tracetail.contract.engine_lines import FATAL, FORMS, NESTED_STARTS, PREFIX_PATTERN
from tracetail.contract.masking import DEFAULT_PATTERNS, MASK

MASKING_BEGIN = "# --- secrets: the patterns of contract/masking.py, in its order\n"
MASKING_END = "\n.message = message\n"
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
_RE2_CLASSES = {**_CLASSES, "s": r"\t\n\f\r "}


def vrl_form(regex, classes=_CLASSES):
    """Return a pattern of tracetail.contract.header_forms as Rust's regex, on Unicode text, with ASCII classes."""
    out = ""
    in_class = False
    for token in re.findall(r"\\.|.", regex):
        if token[1:] in classes:
            out += classes[token[1:]] if in_class else f"[{classes[token[1:]]}]"
            continue
        in_class = token == "[" or (in_class and token != "]")
        out += {r"\b": r"(?-u:\b)", "'": r"\x27", r"\"": '"'}.get(token, token)
    return out


def vrl_pattern(regex):
    """Return an RE2 pattern of tracetail.contract.masking as a raw regex of VRL (Rust's regex, on Unicode text)."""
    return vrl_form(regex, _RE2_CLASSES)


def masking_statements():
    """Return the statements of the program that mask secrets: one for each pattern, in the order of the list."""
    statements = []
    for pattern in DEFAULT_PATTERNS:
        regex = vrl_pattern(pattern.regex)
        mask = f"{MASK}{pattern.kept_behind}"
        masked = f'join!([match.captures[0], "{mask}"])'
        if "(?P<harmless>" in regex:
            masked = f"if match.harmless != null {{ match.string }} else {{ {masked} }}"
        statements.append(
            f"# {pattern.name}\nmessage = replace_with(message, r'{regex}') -> |match| {{ {masked} }}\n"
        )
    return "".join(statements)


def main():
    """Write the statements that mask secrets into the program: `PYTHONPATH=tests python -m support.vrl`."""
    before, begin, rest = PROGRAM.read_text("utf-8").partition(MASKING_BEGIN)
    _, end, after = rest.partition(MASKING_END)
    PROGRAM.write_text(f"{before}{begin}{masking_statements()}{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
