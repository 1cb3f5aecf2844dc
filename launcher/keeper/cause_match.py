"""Matches a message with the known causes, and fills their texts. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from tracetail.contract.masking import mask_text
from tracetail.launcher.engines import signals
from tracetail.launcher.engines.causes.cause import Cause, Line, Rank, Text
from tracetail.launcher.keeper.log_errors import Message

_WRAPPER = re.compile(
    rb"(?:(?:[A-Za-z_][\w.]*)?(?:Error|Exception|Exit|Interrupt|error)(?:\([\w.]{1,100}\))?: "
    rb"|(?:[a-z_]\w{0,60}\.){1,8}[A-Z]\w{2,60}: |\"?[Ff]ailed to [\w' ]{1,80}: "
    rb"|- |Failed to load shared library '[^']{1,300}': "
    rb"|Value error, |Assertion failed, |what\(\): +|\[TM\]\[ERROR\] |error: |Error: "
    rb"|(?:(?:<[\w-]+>|[\w./+-]+): )?fatal error: "
    rb"|[A-Za-z_]\w*(?:Error|Exception)\(['\"]"
    rb"(?!.*\\n(?!(?:CUDA|HIP) kernel errors|For debugging |Compile with |['\"]))"
    rb"|\[[^\]]{0,80}Rank \d+\] (?:Process group|NCCL|HCCL) watchdog thread terminated with exception: "
    rb"|Error ignored in \w{1,60}: "
    rb"|Error in model execution(?: \([^()]{1,200}\))?: "
    rb"|Worker failed with error ['\"]|Call to \w+ method failed: |[Cc]apture (?:cuda|CUDA) graph failed: "
    rb"|source=\S+ msg=\"[^\"\\]{1,200}\" error=\"|llama runner process has terminated: "
    rb"|Failed to run autotuning code block: |\d+ validation errors? for \w+: |\[MIE\w+\] |\[[a-z_]+\] "
    rb"|\(HTTP code \d{3}\) [\w ]{1,40} - |\[address=[\w.:]+(?:, pid=\d+)?\] "
    rb"|\[\d\d-\d\d \d\d:\d\d:\d\d\] )"
)
"""What stands before another program's message: an exception's name, and texts with which engines wrap it."""
_WRAPPERS_MAX = 6
_FROM_PARENT = ("SIGTERM", "SIGQUIT")
"""What an engine sends its processes when one of them has failed: vLLM SIGTERM, SGLang SIGQUIT."""
_OTHERS = Text(
    "its engine ends a process in this way when another one has failed: see the logs of the other ranks and nodes",
    "引擎在其他进程失败时会这样结束它：查看其他 rank 以及其他节点的日志",
)
_OPTIONAL = re.compile(r"\[([^\[\]]*\{\w+\}[^\[\]]*)\]")
_GROUP = re.compile(r"\{(\w+)\}")


class Matched(NamedTuple):
    """A message that names a known cause."""

    cause: Cause
    message: Message
    values: dict[str, str]

    def text(self) -> Text:
        """Return what is wrong."""
        return _fill_both(self.cause.text, self.values)

    def hint(self, hints: dict[str, Text]) -> Text:
        """Return what to change. hints: the engine's own, by code."""
        return _fill_both(hints.get(self.cause.code, self.cause.hint), self.values)


def with_anchors_in(causes: Sequence[Cause], texts: Iterable[bytes]) -> list[Cause]:
    """Return the causes with an anchor that occurs in these texts.

    Each anchor is searched in all texts at once: line by line, that is most of a diagnosis of a long log.
    """
    everything = b"\n".join(texts)
    return [cause for cause in causes if any(line.anchor in everything for line in cause.lines)]


def first_match(causes: Sequence[Cause], messages: Iterable[Message]) -> Matched | None:
    """Return the most telling cause that these messages name; of several the first. None if there is none."""
    best: Matched | None = None
    for message in messages:
        found = match(causes, message)
        if found is not None and (best is None or found.cause.rank < best.cause.rank):
            best = found
            if best.cause.rank == Rank.ROOT:
                break
    return best


def match(causes: Sequence[Cause], message: Message) -> Matched | None:
    """Return the most telling cause that a message names; of several the first. None if there is none."""
    starts: list[int] = []
    best: Matched | None = None
    for cause in causes:
        lines = [line for line in cause.lines if line.anchor in message.text]
        if lines and (best is None or cause.rank < best.cause.rank):
            starts = starts or list(_starts(message.text))
            tried = (_match_at(line, message.text, at) for line in lines for at in starts)
            values = next((one for one in tried if one is not None), None)
            best = best if values is None else _decode(Matched(cause, message, values))
    return best


def _match_at(line: Line, text: bytes, at: int) -> dict[str, str] | None:
    if not line.pattern:
        return {} if text.startswith(line.anchor, at) else None
    found = _compiled(line.pattern).match(text, at)
    if found is None:
        return None
    return {name: value.decode(errors="replace") for name, value in found.groupdict().items() if value is not None}


@cache
def _compiled(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern)


def _starts(text: bytes) -> Iterator[int]:
    """Yield the offsets at which a message begins: its own, and that after each wrapper."""
    at = len(text) - len(text.lstrip(b" \t|"))
    yield at
    for _ in range(_WRAPPERS_MAX):
        found = _WRAPPER.match(text, at)
        if found is None:
            return
        at = found.end()
        yield at


def _decode(found: Matched) -> Matched:
    """Name the signal that ended a process of the server."""
    if not found.cause.died:
        return found
    number = abs(int(found.values["status"]))
    decoded, name = signals.cause_of(number), signals.name_of(number)
    text = Text(f"{found.cause.text.en} was killed by {name}", f"{found.cause.text.zh}被 {name} 终止")
    rank = Rank.CONSEQUENCE if name in _FROM_PARENT else Rank.GENERAL
    if name == "SIGQUIT":
        return found._replace(cause=found.cause._replace(text=text, hint=_OTHERS, rank=rank))
    return found._replace(cause=found.cause._replace(code=decoded.code, text=text, hint=decoded.hint, rank=rank))


def _fill_both(text: Text, values: dict[str, str]) -> Text:
    return Text(mask_text(fill(text.en, values)), mask_text(fill(text.zh, values)))


def fill(template: str, values: dict[str, str]) -> str:
    """Return the template with its groups replaced, without the optional parts that lack a value."""
    template = _OPTIONAL.sub(
        lambda part: part[1] if all(name in values for name in _GROUP.findall(part[1])) else "", template
    )
    return _GROUP.sub(lambda group: values.get(group[1], "?"), template)
