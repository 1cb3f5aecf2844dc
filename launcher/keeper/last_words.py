"""What a server said last of trouble, in lines that no program marks as errors. Pure.

Scripts, servers in C++ and checks of a configuration print a sentence and end. Such a sentence is looked at only
where nothing else explains the end: among a server's ordinary lines its words occur, too.
"""

import re
from collections.abc import Sequence

from tracetail.launcher.keeper.log_errors import WENT_ON, Message

_END_LINES = 40
"""How many lines at the end of a log are searched; a usage text may follow what was wrong."""
_NEAR_LINES = 10
"""How many lines before a consequence are searched."""
_LINE_MAX_BYTES = 400
"""A longer line is a dump of settings or a progress bar."""
_LINES_MAX = 4
_TROUBLE = re.compile(
    rb"\b(?:error|fail(?:ed|s|ure)?|fatal|cannot|can't|could(?: no|n')t|unable to|invalid|unknown|unsupported"
    rb"|unexpected|illegal|missing|denied|refused|already (?:in use|running|exists)|no such|mismatch|incompatible"
    rb"|exceeds|(?:does|do|is|are|was|were)(?: not|n't)"
    rb"|not (?:found|set|allowed|supported|available|installed|enough|specified)"
    rb"|must (?:not )?be|should (?:not )?be|requires?|expected)\b",
    re.IGNORECASE,
)
_NO_TROUBLE = re.compile(
    rb"warn|deprecat|resource_tracker|leaked|ignor|fall(?:ing)?[ -]?back|skipp|retr(?:y|ies)|disabl|no errors?\b"
    rb"|\b0 errors?|recommend|optional|error_file|killed|killing|core dumped"
    rb"|terminated|it/s\]|=\S*[, ].*=|NCCL INFO|^\s*(?:usage|-)",
    re.IGNORECASE,
)
"""Lines with such words that starts print which succeed, consequences, and settings."""


def last_words(messages: Sequence[Message], after: int, before: int | None = None) -> list[Message]:
    """Return the last lines in a row that speak of trouble, at most four; none if none does.

    Args:
        messages: the lines outside of tracebacks.
        after: the number of a line that shows the server at work: what it said before it, it has survived.
        before: the number of the line right before which they must be; None for the end of the log.

    """
    end = messages[-1].at + 1 if messages and before is None else before or 0
    first = max(after + 1, end - (_END_LINES if before is None else _NEAR_LINES))
    found: list[Message] = []
    for message in reversed(messages):
        if message.at >= end:
            continue
        if message.at < first or message.level not in (None, "error", "critical"):
            break  # what its log goes on after, it has survived
        if _speaks_of_trouble(message):
            found.insert(0, message)
        elif found:
            break
    return found[:_LINES_MAX]


def _speaks_of_trouble(message: Message) -> bool:
    text = message.text
    return (
        message.level is None
        and len(text) <= _LINE_MAX_BYTES
        and _TROUBLE.search(text) is not None
        and _NO_TROUBLE.search(text) is None
        and WENT_ON.search(text) is None
    )
