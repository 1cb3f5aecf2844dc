"""A finding of `tracetail doctor`: its level, subject, text and advice."""

from typing import Literal, NamedTuple

from tracetail.cli.refusals import said

OK: Literal["ok"] = "ok"
WARNING: Literal["warning"] = "warning"
PROBLEM: Literal["problem"] = "problem"


class Finding(NamedTuple):
    """One sentence about one subject, with advice unless all is well."""

    level: Literal["ok", "warning", "problem"]
    subject: str
    text: str
    advice: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(OK, subject, text)


def warning(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that may become a problem, or is one in some set-ups. text: also what a part refused."""
    return Finding(WARNING, subject, said(text), advice)


def problem(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that something does not work. text: also what a part refused."""
    return Finding(PROBLEM, subject, said(text), advice)
