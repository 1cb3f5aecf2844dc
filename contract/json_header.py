"""The headers of lines that are JSON objects: vLLM's formatter, python-json-logger, structlog, TGI, loguru, pino.

The names of the fields are those that these formatters use by default.
"""

import json
from collections.abc import Callable
from typing import Any

from tracetail.contract.header import NO_HEADER, Header
from tracetail.contract.header_forms import LEVELS

_LEVEL_NAMES = ("levelname", "level", "severity", "lvl", "log.level", "severity_text", "SeverityText", "loglevel")
_TIME_NAMES = ("asctime", "time", "timestamp", "ts", "@timestamp", "datetime")
_MESSAGE_NAMES = ("message", "msg", "event", "text", "body")
_TRACEBACK_NAMES = ("exc_info", "exception", "traceback", "stack_trace", "exc_text", "stack")
_NUMBERS = ((60, "critical"), (50, "error"), (40, "warning"), (30, "info"), (0, "debug"))
"""pino and bunyan: the lowest number of each level. Python's numbers are ten less, and come with a name."""
_LOGURU_PARTS = {"level": "name", "time": "repr", "file": "name", "process": "id"}
"""loguru's records have objects for values: the name of the part that is printed elsewhere."""
_VALUE_MAX = 128


def parse_json_header(text: bytes, *, loads: Callable[[bytes], Any] = json.loads) -> Header:
    """Return the header of a line that is a JSON object; NO_HEADER if it is none.

    `body` is 0: the message is the whole line.
    """
    fields = _object(text, loads)
    if fields is None:
        return NO_HEADER
    name = _first(fields, "filename", "file", "pathname")
    line = _first(fields, "lineno", "line")
    source = f"{name}:{line}" if name and line else _first(fields, "source", "caller", "name", "logger", "target")
    return Header(
        _level(_first(fields, *_LEVEL_NAMES)),
        _value(_first(fields, "vllm_process_name", "processName")),
        _value(_first(fields, "process", "pid")),
        _value(source),
        _value(_first(fields, *_TIME_NAMES)),
    )


def json_message(text: bytes, *, loads: Callable[[bytes], Any] = json.loads) -> str | None:
    """Return the message of a line that is a JSON object, followed by its traceback; None if it is no such line."""
    fields = _object(text, loads)
    if fields is None:
        return None
    inner = fields.get("fields")
    message = _first(fields, *_MESSAGE_NAMES) or (_first(inner, *_MESSAGE_NAMES) if isinstance(inner, dict) else None)
    parts = (message, _first(fields, *_TRACEBACK_NAMES))
    return "\n".join(part for part in parts if isinstance(part, str)) or None


def _object(text: bytes, loads: Callable[[bytes], Any]) -> dict[str, Any] | None:
    """Return the fields of a JSON object; of loguru's serialised records, the fields of the record."""
    if not text.rstrip().endswith(b"}"):
        return None
    try:
        fields = loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    record = fields.get("record")
    if isinstance(record, dict) and isinstance(record.get("level"), dict):
        parts = {
            name: value.get(part)
            for name, part in _LOGURU_PARTS.items()
            if isinstance(value := record.get(name), dict)
        }
        return fields | record | parts
    return fields


def _level(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return next((name for least, name in _NUMBERS if value >= least), "info")
    return LEVELS.get(str(value).upper(), "info")


def _first(fields: dict[str, Any], *names: str) -> Any:
    """Return the first of these fields that has a value; None if there is none."""
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def _value(value: Any) -> bytes | None:
    return str(value)[:_VALUE_MAX].encode(errors="replace") if isinstance(value, str | int | float) else None
