"""Masks the lines of a private key in PEM form, which stands in a log over many lines (RFC 7468)."""

import re

BEGIN = b"PRIVATE KEY"
"""Is in the first and the last line of every key."""
_BEGIN = re.compile(rb"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_END = re.compile(rb"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY")
_BASE64 = re.compile(
    # what logs put in front: (Worker pid=7), [rank0]:, [1,0]<stderr>:, quotes, the sign of a YAML block or a diff
    rb"((?:\([A-Za-z][^()]{0,80}\)|\[[^\[\]]{0,80}\](?:<std[a-z]{3}>)?:?|[\s'\"|>+,(]|b['\"]){0,6})"
    rb"[A-Za-z0-9+/]{2,}={0,2}(?:\\[nr]|[\s'\",)])*"
)
_LONG_BASE64 = re.compile(rb"(.{0,200}?[^A-Za-z0-9+/=])([A-Za-z0-9+/]{40,}={0,2})((?:\\[nr]|[\s'\",)])*)")
"""A line of a key behind a header that is none of the above: INFO 11-22 13:12:10 [a.py:1] MIIEv…"""
_HEADER = re.compile(rb"(?:Proc-Type|DEK-Info|Comment|Version|Subject|X-[A-Za-z-]+): ")
_LINES_MAX = 200
"""Lines that are looked at behind a BEGIN whose END never comes; an RSA key of 16,384 bits has 197."""


class PrivateKeyLines:
    """Follows the lines of one log; `lines_left` is the whole state: 0 outside a key."""

    def __init__(self, lines_left: int = 0) -> None:
        self.lines_left = lines_left

    def mask(self, line: bytes, mask: bytes) -> bytes:
        """Return the next line of the log; if it belongs to a key, it is masked."""
        if BEGIN in line:
            begins = [found.end() for found in _BEGIN.finditer(line)]
            ended = _END.search(line, begins[-1] if begins else 0)
            self.lines_left = _LINES_MAX if begins and ended is None else 0
            return line
        if not self.lines_left:
            return line
        self.lines_left -= 1
        return _masked(line, mask)

    def mask_all(self, lines: list[bytes], mask: bytes) -> list[bytes]:
        """Return lines of the log, those of a key masked; also of one whose beginning is not among the lines."""
        masked = [self.mask(line, mask) for line in lines]
        ends = next((number for number, line in enumerate(lines) if BEGIN in line), 0)
        if ends and _END.search(lines[ends]) and not _BEGIN.search(lines[ends]):
            for number in range(ends - 1, -1, -1):
                before = _masked(lines[number], mask)
                if before is lines[number]:
                    break
                masked[number] = before
        return masked


def _masked(line: bytes, mask: bytes) -> bytes:
    """Return a line within a key: masked, if it has the form of one."""
    if found := _BASE64.fullmatch(line):
        return found[1] + mask
    if found := _LONG_BASE64.fullmatch(line):
        return found[1] + mask + found[3]
    return line
