"""The finding for an exception, or another error, that is not among the known causes. Pure."""

import re

from tracetail.contract.masking import mask_text
from tracetail.launcher.engines.causes.cause import Text
from tracetail.launcher.keeper.finding import UNRECOGNISED, Finding
from tracetail.launcher.keeper.log_errors import Message

CAUSE_MAX = 300
"""Characters of a line of the log that is used as the cause."""
EVIDENCE_LINES_MAX = 4
_GOES_ON = (":", "'")
_ADVICE = re.compile(
    r"(?:^|[.;:,] )((?:Please (?!open an issue|report|(?:check|see|refer to) (?:the )?(?:stack|logs?\b|error))"
    r"|Try|Consider|Use (?!\.)|Set|Increase|Reduce|Decrease|Lower"
    r"|Make sure|Ensure|Install|Upgrade|Update|Downgrade|Rebuild|Reinstall|Pass|Specify|Provide|Enable|Disable|Remove"
    r"|Switch to|You (?:need to|can|should|must|may))\b[^\n]{8,200}?)(?=[.;](?:\s|$)|$)",
    re.IGNORECASE,
)
"""The sentence of an error message that says what to do."""
_BARE_NAME = re.compile(r"[A-Za-z_][\w.]*$")
_VALIDATION_DETAIL = re.compile(r"\s*\[type=\w+, input_value=.*$")
_FAULT = re.compile(
    r"(?:[A-Za-z_][\w.]*\.)?(?:(?:Attribute|Type|Name|UnboundLocal|Index|Key|ZeroDivision|Recursion)Error\b"
    r"|AssertionError$|ValueError: (?:too many values|not enough values) to unpack"
    r"|RuntimeError: (?:The size of tensor a|mat1 and mat2|shape '\[|view size is not compatible|split_with_sizes "
    r"|expected scalar type|expected mat1 and mat2|Expected all tensors to be on the same device|shape mismatch: "
    r"|start \(\d+\) \+ length|\S+ expected at most \d+ argument))"
)
"""What Python and PyTorch raise where code is wrong, or calls another version of something: no message to a user."""
_NOT_SUPPORTED = re.compile(
    r"NotImplementedError: |(?<!peration )\bnot (?:yet |currently )?(?:be )?supported\b"
    r"|\b(?:does|do) not (?:yet )?support\b|\bonly supports?\b|\b(?:is|are) only supported\b|\bunsupported\b",
    re.IGNORECASE,
)
_RAISED = re.compile(r"BackendCompilerFailed: backend=.* raised:$")
"""torch.compile says so of a backend, as vLLM's; the exception that was raised comes on the next line."""
_OPTION = re.compile(r"\s--[a-z]")
"""An option: the message is for users."""
_FRAME = re.compile(r'File "(?:[^"]*/(?:site|dist)-packages/)?(?P<file>[^"]+)", line (?P<line>\d+)')


def unrecognised(messages: list[Message], raised: Message | None = None) -> Finding:
    """Return the finding for an error: the lines of its message and, of an exception, the frame that raised it."""
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
    evidence = [shown(message) for message in messages if _plain(message)][:EVIDENCE_LINES_MAX]
    is_fault = _FAULT.match(_plain(messages[0])) is not None and _OPTION.search(_plain(messages[0])) is None
    if is_fault and raised is not None and not _BARE_NAME.match(_plain(messages[0])):
        evidence.insert(1, shown(raised))
    hint = _fault_hint(raised) if is_fault else _hint(messages)
    return Finding(UNRECOGNISED, UNRECOGNISED, Text(text, text), hint, evidence[:EVIDENCE_LINES_MAX])


def _fault_hint(raised: Message | None) -> Text:
    """Return what to do about a fault of the program. raised: the frame in which it is."""
    frame = _FRAME.search(_plain(raised)) if raised is not None else None
    at = mask_text(f"{frame['file']}:{frame['line']}") if frame else ""
    return Text(
        f"a fault of the program{at and f' at {at}'}, or versions that do not fit together: install those that the "
        "engine asks for, search its issues for this line, or try another version of it",
        f"程序有错误{at and f'（位于 {at}）'}，或版本不匹配："
        "安装引擎要求的版本，在它的 issue 中搜索该行，或换一个引擎版本",
    )


def _hint(messages: list[Message]) -> Text:
    """Return what an error that no table knows says about what to do."""
    if advice := _ADVICE.search(" ".join(map(_plain, messages))):
        advised = mask_text(advice[1].strip())
        return Text(f"the engine advises: {advised}", f"引擎的建议：{advised}")
    if _NOT_SUPPORTED.search(_plain(messages[0])):
        return Text(
            "this version of the engine cannot do that with this model or device: change `args`, or try a newer one",
            "该版本的引擎在此模型或设备上不支持：修改 `args`，或换用更新的版本",
        )
    return Text("the lines around it in the log say more", "日志中该行前后的内容有更多信息")


def _plain(message: Message) -> str:
    return message.text.strip().decode(errors="replace")


def shown(message: Message) -> str:
    """Return a line of the log for users: secrets masked."""
    return mask_text(message.line.decode(errors="replace"))
