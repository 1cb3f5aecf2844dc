"""File names that are not UTF-8, as text: in the journal, in labels, in messages."""

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes

_ENCODED = "%"
"""Begins a name whose bytes are percent-encoded; every other one begins with a slash."""
_SAFE = "/ !\"#$&'()*+,:;<=>?@[\\]^`{|}~"


def name_of(path: str) -> str:
    """Return a path as text that can be stored: itself, or percent-encoded behind a `%` if it is not UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _ENCODED + quote_from_bytes(os.fsencode(path), safe=_SAFE)
    return path


def path_of(name: str) -> str:
    """Return the path of a name that name_of() returned."""
    return os.fsdecode(unquote_to_bytes(name.removeprefix(_ENCODED))) if name.startswith(_ENCODED) else name


def shown(path: str) -> str:
    r"""Return a path as text for people; bytes that are not UTF-8 as `\xff`."""
    return os.fsencode(path).decode(errors="backslashreplace")
