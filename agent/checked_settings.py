"""Checks settings of the agent that their types do not cover, and builds what they configure."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tracetail.agent.encodings import DEFAULT as DEFAULT_ENCODING
from tracetail.agent.encodings import codec_of
from tracetail.agent.settings import AgentSettings
from tracetail.contract.labels import (
    HOST,
    INSTANCE_ID,
    LABEL_COUNT_MAX,
    LABEL_VALUE_MAX_BYTES,
    LAUNCH_LABELS,
    TRACE_ID,
)
from tracetail.contract.masking import DEFAULT_PATTERNS
from tracetail.contract.redaction import Redactor, with_group
from tracetail.contract.secret_pattern import Pattern

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

FILENAME = "filename"
"""Label of files that no keeper wrote: the path."""
_FILE_LABELS = (HOST, FILENAME, TRACE_ID, INSTANCE_ID)
_LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class BadSettingsError(ValueError):
    """A setting cannot be used; the message names it."""


def check_labels(settings: AgentSettings) -> None:
    """Raise BadSettingsError if Loki would refuse the labels of a stream, or a source cannot be used."""
    _check("agent.labels", settings.labels, reserved=len(LAUNCH_LABELS))
    for number, source in enumerate(settings.sources):
        key = f"agent.sources[{number}]"
        try:
            groups = re.compile(source.path_pattern).groupindex
        except re.error as error:
            raise BadSettingsError(f"{key}.path_pattern is not a regular expression: {error}") from error
        try:
            codec_of(source.encoding or DEFAULT_ENCODING)
        except (LookupError, ValueError) as error:
            raise BadSettingsError(
                f"{key}.encoding is {source.encoding!r}; expected an encoding as utf-8, utf-16, gbk, gb18030: {error}"
            ) from error
        if not Path(source.glob).is_absolute():
            raise BadSettingsError(f"{key}.glob is {source.glob!r}; expected an absolute path")
        labels = settings.labels | source.labels | dict.fromkeys(groups, "")
        _check(f"{key}.labels", labels, reserved=len(_FILE_LABELS))


def _check(key: str, labels: Mapping[str, str], reserved: int) -> None:
    for name, value in labels.items():
        if not _LABEL_NAME.fullmatch(name):
            raise BadSettingsError(f"{key}: {name!r} cannot be a label; use letters, digits and _")
        if len(value.encode()) > LABEL_VALUE_MAX_BYTES:
            raise BadSettingsError(f"{key}.{name} is longer than {LABEL_VALUE_MAX_BYTES} bytes")
    if len(labels) + reserved > LABEL_COUNT_MAX:
        raise BadSettingsError(
            f"{key}: Loki accepts {LABEL_COUNT_MAX} labels; tracetail adds {reserved}, and these are {len(labels)}"
        )


def redactor_of(settings: AgentSettings) -> Redactor:
    """Return the redactor for the common secrets and the configured ones. Raises InvalidPatternError."""
    extra = (Pattern(f"extra[{index}]", regex) for index, regex in enumerate(settings.redaction.extra))
    named = (Pattern(one.name, one.regex) for one in settings.redact)
    return Redactor((*DEFAULT_PATTERNS, *named, *map(with_group, extra)), settings.redaction.keep)


def zone_of(name: str) -> "ZoneInfo | None":
    """Return the configured time zone; None for the machine's. Raises BadSettingsError."""
    if not name:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415  (few configure a zone)

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise BadSettingsError(
            f"agent.timezone is {name!r}, which is not a time zone; expected one as Europe/Berlin"
        ) from error
