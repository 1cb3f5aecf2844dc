"""What the parts refuse, in the language: their errors are English, as they also stand in logs and answers of APIs.

A message is looked up by the text around its values: `modelPath is missing: engine {} needs …`.
"""

import functools
import re

from tracetail.cli.language import language
from tracetail.contract import system_reasons

_VALUE = "{}"


def said(error: BaseException | str) -> str:
    """Return an error's message in the language, in English where there is no other version."""
    text = str(error)
    return in_chinese(text) if language() == "zh" else text


def in_chinese(text: str) -> str:
    """Return an English message in Chinese, with the messages that are its values; unknown ones as they are.

    What stands in front of a message, such as the file that it is about, stays.
    """
    if (found := _looked_up(text)) is not None:
        return found
    start = 0
    while (colon := text.find(": ", start)) >= 0:
        start = colon + 2
        if (found := _looked_up(text[start:])) is not None:
            return f"{in_chinese(text[:colon])}：{found}"
    return text


def _looked_up(text: str) -> str | None:
    for pattern, chinese in _patterns():
        if match := pattern.fullmatch(text):
            return chinese.format(*(in_chinese(value) for value in match.groups()))
    return None


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return the patterns of the known messages: those first that leave the least open."""
    from tracetail.cli.chinese.refusals import TEXTS

    texts = TEXTS | system_reasons.CHINESE
    by_length = sorted(texts, key=lambda english: -len(english.replace(_VALUE, "")))
    return [(_pattern(english), texts[english]) for english in by_length]


def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.+?)".join(re.escape(part) for part in english.split(_VALUE)), re.DOTALL)
