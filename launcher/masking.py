"""Hides secrets in command lines. The standard library only: the keeper shows command lines too."""

import re
from collections.abc import Iterable

MASK = "***"
_SECRET_FLAG = re.compile(r"(?i)(?:^|[-_])(?:key|keys|token|password|passwd|secret)$")


def mask_flags(words: Iterable[str]) -> list[str]:
    """Return a command line without what follows a flag that sounds like a secret, up to the next flag."""
    masked = []
    secret = False
    for word in words:
        flag, equals, _ = word.partition("=")
        if word.startswith("-"):
            secret = _SECRET_FLAG.search(flag) is not None
            masked.append(f"{flag}={MASK}" if secret and equals else word)
        else:
            masked.append(MASK if secret else word)
    return masked
