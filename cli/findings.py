"""What a check of `tracetail doctor` has to say."""

from typing import Literal, NamedTuple

OK: Literal["ok"] = "ok"
WARNING: Literal["warning"] = "warning"
PROBLEM: Literal["problem"] = "problem"


class Finding(NamedTuple):
    """One sentence about one subject; if it is not well, with what to do about it."""

    level: Literal["ok", "warning", "problem"]
    subject: str
    text: str
    advice: str = ""


def ok(subject: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(OK, subject, text)


def warning(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that may become a problem, or is one for some."""
    return Finding(WARNING, subject, text, advice)


def problem(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(PROBLEM, subject, text, advice)
