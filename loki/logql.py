"""Composes LogQL queries. The only place where a value from outside becomes part of a query.

Source of the syntax: https://grafana.com/docs/loki/latest/query/log_queries/
"""

from collections.abc import Iterable, Mapping

LEVELS = ("debug", "info", "warning", "error", "critical")
"""The values of the structured metadata `level`, in increasing severity."""

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(value: str) -> str:
    """Return value as a LogQL string literal, with the escapes of a Go string."""
    if value.isprintable() and "\\" not in value and '"' not in value:
        return f'"{value}"'
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else _escaped(c)) for c in value) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def selector(labels: Mapping[str, str]) -> str:
    """Return the stream selector that matches all these labels exactly: `{traceId="t1", env="test"}`."""
    return "{" + ", ".join(f"{name}={quote(value)}" for name, value in labels.items()) + "}"


def selector_of_values(label: str, values: Iterable[str]) -> str:
    """Return the stream selector that matches streams whose label has one of these values. Give at least one."""
    return f"{{{label}=~{quote('|'.join(escape_regex(value) for value in values))}}}"


def selector_of_label(label: str) -> str:
    """Return the stream selector that matches every stream that has this label."""
    return f'{{{label}=~".+"}}'


def log_query(
    streams: str,
    *,
    levels: Iterable[str] = (),
    contains: str | None = None,
    matches: str | None = None,
    ignore_case: bool = False,
    metadata: Mapping[str, str] | None = None,
    without: Mapping[str, str] | None = None,
    metadata_patterns: Mapping[str, str] | None = None,
) -> str:
    """Return the log query for the lines of some streams that meet all of these conditions.

    Args:
        streams: a stream selector.
        levels: only lines of one of these levels.
        contains: only lines that contain this text.
        matches: only lines that match this RE2 regular expression.
        ignore_case: for contains and matches.
        metadata: only lines whose structured metadata has these values.
        without: only lines whose structured metadata does not have these values.
        metadata_patterns: only lines whose structured metadata matches these RE2 regular expressions as a whole.

    """
    parts = [streams]
    if contains:
        parts.append(f"|~ {quote('(?i)' + escape_regex(contains))}" if ignore_case else f"|= {quote(contains)}")
    if matches:
        parts.append(f"|~ {quote(('(?i)' if ignore_case else '') + matches)}")
    wanted = list(levels)
    if wanted:
        parts.append("| " + " or ".join(f"level={quote(level)}" for level in wanted))
    parts += [f"| {name}={quote(value)}" for name, value in (metadata or {}).items()]
    parts += [f"| {name}!={quote(value)}" for name, value in (without or {}).items()]
    parts += [f"| {name}=~{quote(pattern)}" for name, pattern in (metadata_patterns or {}).items()]
    return " ".join(parts)


def trace_query(
    trace_id: str,
    *,
    launch_id: str | None = None,
    levels: Iterable[str] = (),
    contains: str | None = None,
    matches: str | None = None,
    ignore_case: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Return the log query for the lines of a trace, or of one launch of it. See log_query for the conditions."""
    labels = {"traceId": trace_id}
    if launch_id is not None:
        labels["launchId"] = launch_id
    return log_query(
        selector(labels),
        levels=levels,
        contains=contains,
        matches=matches,
        ignore_case=ignore_case,
        metadata=metadata,
    )


def count_query(query: str, window: str, by: Iterable[str] = ()) -> str:
    """Return the metric query that counts the entries of a log query in a window (`30s`, `2h`), by these labels."""
    names = ", ".join(by)
    return f"sum{f' by ({names}) ' if names else ''}(count_over_time({query} [{window}]))"


def levels_from(level: str) -> tuple[str, ...]:
    """Return this level and the more severe ones. Raises ValueError if there is no such level."""
    if level not in LEVELS:
        raise ValueError(f"level {level!r} is not one of {', '.join(LEVELS)}")
    return LEVELS[LEVELS.index(level) :]


def escape_regex(text: str) -> str:
    """Return the RE2 expression that matches this text only."""
    return "".join("\\" + c if c in r"\.+*?()|[]{}^$" else c for c in text)
