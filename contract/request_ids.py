"""How the request id that a client sent is found among those that an engine prints.

vLLM makes `cmpl-<X-Request-Id>-0` of it, and within the engine `cmpl-<X-Request-Id>-0-<8 hexadecimal digits>`.
"""

import re

PREFIXES = ("cmpl", "chatcmpl", "embd", "pool", "score", "rerank", "classify", "tokn")
"""What vLLM puts before it, by the kind of request."""
_OWN_SUFFIX = re.compile(r"(?P<id>(?:" + "|".join(PREFIXES) + r")-.+)-[0-9a-f]{8}")
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")


def request_id_pattern(wanted: str) -> str:
    """Return the RE2 pattern that a whole request id matches if it is this one, or made of it.

    wanted: what the client sent, or an engine's id, with its suffix or without.
    """
    own = _OWN_SUFFIX.fullmatch(wanted)
    escaped = _SPECIAL.sub(lambda special: "\\" + special[0], own["id"] if own is not None else wanted)
    return f"(?:(?:{'|'.join(PREFIXES)})-)?{escaped}(?:-[0-9]+)?(?:-[0-9a-f]{{8}})?"
