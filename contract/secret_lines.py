"""Masks secrets that are known by the lines before: those of a private key, and a value in the line behind its name.

A value is looked for in the very next line, and only where a line ends as one does that must go on: JSON and YAML
over several lines (`kubectl get -o yaml`), and arguments that are printed one a line (`docker inspect`, `kubectl
describe`).
"""

import functools
import re

from tracetail.contract.private_key_lines import BEGIN, PrivateKeyLines
from tracetail.contract.secret_values import NO_SECRET
from tracetail.contract.secrets_by_name import FLAG_NAME, STRONG_NAME

NEEDLES = (b"- name: ", b"- --", b"      --")
"""Of lines that end in a name, which no pattern looks for: nothing stands behind it."""
_OPENING_MAX_BYTES = 200
_HARMLESS_MAX_BYTES = 200
"""Of a value that may be known to be no secret, as a path."""
_CLOSING = b" \t\r\n\v\f,}]"
"""What may close a line behind a value."""
_BEFORE = r"(?:(?:\([A-Za-z][^()]{0,80}\)|\[[^\[\]]{0,80}\]:?)[ \t]?){0,3}"
"""What vLLM and torchrun put in front of each line."""
_QUOTE = "['\"]"
_NAME = rf"[\w.-]*{STRONG_NAME}"
_FORMS = {
    # The end of the line before, the line with the value: what is kept, the value, what is kept behind it. No value
    # has what may stand behind it, and what closes the line is cut off before: the time is linear in the line.
    "quoted": (
        rf"[\s{{,]*{_QUOTE}{_NAME}{_QUOTE}\s*:\s*",
        rf"(\s*{_QUOTE})([^'\"\r\n]+)({_QUOTE})",
    ),
    "block": (
        rf"[\s-]*{_QUOTE}?{_NAME}{_QUOTE}?\s*:\s*[>|][+-]?\s*",
        r"(\s+)(\S[^\r\n]*)()",
    ),
    "argument": (
        rf"[\s\[-]*(?:{_QUOTE}|\s)--?(?:[a-z0-9]+[_-])*{FLAG_NAME}{_QUOTE}?\s*,?\s*",
        rf"(\s*(?:-\s+)?{_QUOTE}?)([^\s'\"-][^\s'\"]*)({_QUOTE}?)",
    ),
    "value": (
        rf"[\s{{-]*{_QUOTE}?name{_QUOTE}?\s*:\s*{_QUOTE}?(?:{_NAME}|[\w.-]*[_-](?:token|secret|key|pass)){_QUOTE}?\s*,?\s*",
        rf"(\s*{_QUOTE}?value{_QUOTE}?\s*:\s*{_QUOTE}?)([^'\"\r\n]+)({_QUOTE}?)",
    ),
}


def value_behind(line: bytes) -> str:
    """Return the form of the value in the line behind this one; "" if there is none."""
    if len(line) > _OPENING_MAX_BYTES:
        return ""
    # A look before an expression is tried, or compiled: few lines end so.
    end = line.rstrip()[-8:]
    if end[-1:] == b":":
        kind = "quoted" if b'"' in end or b"'" in end else ""
    elif end[-1:] in (b">", b"|", b"+", b"-"):
        kind = "block" if b":" in end else ""
    elif b"--" in line:
        kind = "argument"
    else:
        kind = "value" if b"name" in line or b"Name" in line else ""
    return kind if kind and _opening(kind).fullmatch(line) else ""


def begins(line: bytes) -> bool:
    """Return whether a secret begins in a line that may go on in the next one."""
    return BEGIN in line or value_behind(line) != ""


class SecretLines:
    """Follows the lines of one log; `lines_left` of the key and `expected` are the whole state."""

    def __init__(self, lines_left: int = 0, expected: str = "") -> None:
        """lines_left: of a private key. expected: the form of the value in the next line; "" for none."""
        self.key = PrivateKeyLines(lines_left)
        self.expected = expected if expected in _FORMS else ""

    @property
    def in_secret(self) -> bool:
        """Whether the next line may be one of a secret that began before."""
        return self.key.lines_left > 0 or self.expected != ""

    def mask(self, line: bytes, mask: bytes) -> bytes:
        """Return the next line of the log; if it belongs to a secret, it is masked."""
        masked = self._mask_value(line, mask)
        return masked if masked is not line else self.key.mask(line, mask)

    def mask_all(self, lines: list[bytes], mask: bytes) -> list[bytes]:
        """Return lines of the log, those of secrets masked; also of a key whose beginning is not among the lines."""
        return self.key.mask_all([self._mask_value(line, mask) for line in lines], mask)

    def _mask_value(self, line: bytes, mask: bytes) -> bytes:
        expected, self.expected = self.expected, ""
        if expected and (masked := _masked_value(expected, line, mask)) is not line:
            return masked
        self.expected = value_behind(line)
        return line


def _masked_value(kind: str, line: bytes, mask: bytes) -> bytes:
    body = line.rstrip() if kind == "block" else line.rstrip(_CLOSING)
    found = _value(kind).fullmatch(body)
    if found is None or (len(found[3]) <= _HARMLESS_MAX_BYTES and _no_secret().fullmatch(found[3])):
        return line
    return found[1] + found[2] + mask + found[4] + line[len(body) :]


@functools.cache
def _opening(kind: str) -> re.Pattern[bytes]:
    """Return what matches the line in front of a value."""
    return re.compile(f"(?i){_BEFORE}{_FORMS[kind][0]}".encode())


@functools.cache
def _value(kind: str) -> re.Pattern[bytes]:
    """Return what matches the line with the value: group 3 is the value."""
    return re.compile(f"(?i)({_BEFORE}){_FORMS[kind][1]}".encode())


@functools.cache
def _no_secret() -> re.Pattern[bytes]:
    return re.compile(f"(?i){NO_SECRET}".encode())
