"""The ids of a launch: their syntax, new ones, and the file name of a model name."""

import os
import re
import time

ID_MAX_CHARACTERS = 128
ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}"
LAUNCH_ID_PATTERN = r"[0-9]{8}T[0-9]{6}-[0-9a-f]{6}"
SLUG_MAX_CHARACTERS = 80

_ID = re.compile(ID_PATTERN)
_LAUNCH_ID = re.compile(LAUNCH_ID_PATTERN)
_W3C_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")
_NOT_IN_A_SLUG = re.compile(r"[^A-Za-z0-9._-]+")


class InvalidIdError(ValueError):
    """An id has invalid syntax; the message names the id, the reason and what is allowed."""


def check_id(name: str, value: str) -> str:
    """Return value if it is a valid traceId or instanceId. name: the parameter's name, for the message.

    Raises InvalidIdError. An invalid id is not repaired: a shortened id would find nothing.
    """
    if _ID.fullmatch(value):
        return value
    if not value:
        reason = "it is empty"
    elif len(value) > ID_MAX_CHARACTERS:
        reason = f"it has {len(value)} characters, {ID_MAX_CHARACTERS} are allowed"
    elif not (value[0].isascii() and value[0].isalnum()):
        reason = f"it begins with {value[0]!r}, not with a letter or digit"
    else:
        bad = next(c for c in value if not re.fullmatch(r"[A-Za-z0-9._:-]", c))
        reason = f"it contains {bad!r}"
    shown = value if len(value) <= 40 else value[:40] + "…"
    raise InvalidIdError(
        f"{name} {shown!r} is not valid: {reason}; use letters, digits and . _ : - (at most {ID_MAX_CHARACTERS})"
    )


def is_id(value: str) -> bool:
    """Return whether value has the syntax of a traceId or instanceId."""
    return _ID.fullmatch(value) is not None


def is_launch_id(value: str) -> bool:
    """Return whether value has the syntax of a launchId (check before use in a path)."""
    return _LAUNCH_ID.fullmatch(value) is not None


def new_trace_id() -> str:
    """Return a new W3C trace id: 32 lowercase hex digits."""
    return os.urandom(16).hex()


def new_launch_id(now: float) -> str:
    """Return a new launchId for a launch at now (seconds since the epoch; the id has local time)."""
    return time.strftime("%Y%m%dT%H%M%S", time.localtime(now)) + "-" + os.urandom(3).hex()


def is_w3c_trace_id(value: str) -> bool:
    """Return whether value is a trace id of W3C's Trace Context: 32 lowercase hex digits, not all of them 0."""
    return _W3C_TRACE_ID.fullmatch(value) is not None


def traceparent(trace_id: str) -> str | None:
    """Return the W3C traceparent header for trace_id, or None if it is not a W3C trace id.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header
    """
    if not is_w3c_trace_id(trace_id):
        return None
    return f"00-{trace_id}-{os.urandom(8).hex()}-01"


def slug(model_name: str) -> str:
    """Return a file name for model_name: `Qwen-Qwen2-7B` for `Qwen/Qwen2-7B`. Never empty, never hidden."""
    text = _NOT_IN_A_SLUG.sub("-", model_name).strip(".-")[:SLUG_MAX_CHARACTERS].rstrip(".-")
    return text or "model"
