"""The events of a launch as sentences, for a person at a terminal. In a pipe they stay as the log has them.

The panel has the same ones: panel/static/component/messages.js.
"""

from collections.abc import Callable, Mapping

from tracetail.cli.language import both, in_language
from tracetail.cli.words import event_text, phase_word, state_word
from tracetail.contract.logline import parse_event

_Fields = Mapping[str, str]


def event_sentence(text: str) -> str:
    """Return an event, as the log has it, as a sentence in the language; as it is where it is none that is known."""
    name, fields = parse_event(text)
    sentence = _SENTENCES.get(name)
    return event_text(text) if sentence is None else sentence(fields)


def _part(fields: _Fields, name: str, english: str, chinese: str) -> str:
    """Return a text with the field's value in place of {}; nothing where there is no such field."""
    value = in_language(fields, name)
    return both(english, chinese).replace("{}", value) if value else ""


def _after(fields: _Fields) -> str:
    seconds = fields.get("seconds", "")
    return both(f" after {seconds} s", f"{seconds} 秒后") if seconds else ""


def _why(fields: _Fields) -> str:
    """Return the cause, how the process ended, and the hint."""
    how = _part(fields, "exitCode", " (exit status {})", "（退出码 {}）")
    how += _part(fields, "signal", " (signal {})", "（信号 {}）")
    return _part(fields, "cause", ": {}", "：{}") + how + _part(fields, "hint", "; {}", "；{}")


def _started(fields: _Fields) -> str:
    what = fields.get("model") or fields.get("service", "")
    text = both(f"Started {what}", f"启动 {what}") + _part(fields, "engine", " with {}", "，引擎 {}")
    text += _part(fields, "port", ", port {}", "，端口 {}") + _part(fields, "pid", ", pid {}", "，pid {}")
    return text + _part(fields, "command", ": {}", "：{}")


def _phase(fields: _Fields) -> str:
    name, seconds = phase_word(fields.get("name", "")), fields.get("seconds", "")
    return both(f"Phase “{name}”: {seconds} s", f"阶段“{name}”：{seconds} 秒")


def _ready(fields: _Fields) -> str:
    ready = both(f"Ready{_after(fields)}", f"{_after(fields)}就绪")
    return ready + _part(fields, "url", " at {}", "，地址 {}")


def _failed(fields: _Fields) -> str:
    return both(f"Failed to start{_after(fields)}", f"{_after(fields)}启动失败") + _why(fields)


def _exited(fields: _Fields) -> str:
    state = state_word(fields.get("state", ""))
    how = both(f"Ended{_after(fields)}, {state}", f"{_after(fields)}结束，{state}")
    return how + _why({name: value for name, value in fields.items() if not name.startswith("hint")})


def _unhealthy(fields: _Fields) -> str:
    return both("No longer answers as it should", "不再正常响应") + _why(fields)


def _recovered(fields: _Fields) -> str:
    return both(f"Answers again{_after(fields)}", f"{_after(fields)}恢复正常")


def _refused(fields: _Fields) -> str:
    return both("Not started", "未启动") + _why(fields)


def _rotated(fields: _Fields) -> str:
    following = fields.get("next", "")
    return both(f"The log continues in {following}", f"日志在 {following} 中继续")


def _dropped(fields: _Fields) -> str:
    lines = fields.get("lines", "?")
    return both(f"{lines} lines were not kept", f"有 {lines} 行未能保存") + _part(fields, "reason", ": {}", "：{}")


def _receipt(fields: _Fields) -> str:
    lines, rejected = fields.get("lines", "?"), fields.get("rejected", "0")
    if rejected != "0":
        english = f"Loki has the log but for {rejected} lines that it refused"
        return both(english, f"Loki 已有日志，但拒收了 {rejected} 行")
    all_lines = "the one line" if lines == "1" else f"all {lines} lines"
    return both(f"Loki has {all_lines}", f"Loki 已有全部 {lines} 行")


_SENTENCES: dict[str, Callable[[_Fields], str]] = {
    "started": _started,
    "phase": _phase,
    "ready": _ready,
    "unhealthy": _unhealthy,
    "recovered": _recovered,
    "failed": _failed,
    "exited": _exited,
    "refused": _refused,
    "rotated": _rotated,
    "dropped": _dropped,
    "receipt": _receipt,
}
