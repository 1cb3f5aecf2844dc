"""The finding for an exception, or another error, that is not among the known causes. Pure."""

import re

from tracetail.contract.masking import mask_text
from tracetail.launcher.engines.causes.cause import Text
from tracetail.launcher.keeper import advice
from tracetail.launcher.keeper.finding import UNRECOGNISED, Finding
from tracetail.launcher.keeper.log_errors import Message

CAUSE_MAX = 300
"""Characters of a line of the log that is used as the cause."""
EVIDENCE_LINES_MAX = 4
_GOES_ON = (":", "'")
_BARE_NAME = re.compile(r"[A-Za-z_][\w.]*$")
_VALIDATION_DETAIL = re.compile(r"\s*\[type=\w+, input_value=.*$")
_RAISED = re.compile(r"BackendCompilerFailed: backend=.* raised:$")
"""torch.compile says so of a backend, as vLLM's; the exception that was raised comes on the next line."""
_ERROR = re.compile(rb"\w(?:Error|Exception): |\b(?:error|fatal)\b", re.IGNORECASE)
_BOILERPLATE = re.compile(
    rb"\s*(?:CUDA kernel errors might be |For debugging consider passing |Compile with `TORCH_USE_"
    rb"|Set TORCH(?:_LOGS|DYNAMO)|You can suppress this exception"
    rb"|import torch\._dynamo|torch\._dynamo\.config|from user code:)"
)
"""What PyTorch appends to its messages, whatever they are about."""


def unrecognised(messages: list[Message], raised: Message | None = None, code: Message | None = None) -> Finding:
    """Return the finding for an error: the lines of its message.

    Args:
        messages: the lines of its message.
        raised: of an exception, the frame that raised it.
        code: the line of code of this frame.

    """
    if len(messages) > 1 and _RAISED.search(_plain(messages[0])):
        messages = messages[1:]
    text, further = _plain(messages[0]), messages[1:]
    if further and _BARE_NAME.match(text):
        text, further = f"{text}: {_plain(further[0])}", []
    for message in further:
        if not _plain(message) or not (
            text.endswith(_GOES_ON) or "validation error" in messages[0].text.decode(errors="replace")
        ):
            break
        text = f"{text.removesuffix(':')}: {_VALIDATION_DETAIL.sub('', _plain(message))}"
        if message.text[:1].isspace():
            break
    text = mask_text(text[:CAUSE_MAX])
    said = [message for message in messages if _plain(message) and not _BOILERPLATE.match(message.text)]
    evidence = [shown(message) for message in _most_telling(said)]
    if raised is not None and advice.is_fault(_plain(messages[0])) and not _BARE_NAME.match(_plain(messages[0])):
        evidence[1:1] = [shown(raised), *([shown(code)] if code is not None else [])]
    frame, line = (_plain(one) if one is not None else "" for one in (raised, code))
    hint = advice.hint([_plain(message) for message in messages], frame, line)
    return Finding(UNRECOGNISED, UNRECOGNISED, Text(text, text), hint, evidence[:EVIDENCE_LINES_MAX])


def _most_telling(messages: list[Message]) -> list[Message]:
    """Return the first line of a message and, of a long one, those further lines that speak of errors, in order."""
    further = messages[1:]
    telling = [one for one in further if _ERROR.search(one.text)][-EVIDENCE_LINES_MAX + 1 :]
    rest = [one for one in further if not _ERROR.search(one.text)][: EVIDENCE_LINES_MAX - 1 - len(telling)]
    return [*messages[:1], *sorted([*telling, *rest], key=further.index)]


def _plain(message: Message) -> str:
    return message.text.strip().decode(errors="replace")


def shown(message: Message) -> str:
    """Return a line of the log for users: secrets masked."""
    return mask_text(message.line.decode(errors="replace"))
