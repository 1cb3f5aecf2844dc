"""Labels and structured metadata of pushed streams, normalized as Loki does."""

import functools
import re
from collections.abc import Iterable, Mapping

from tracetail.store.disk.block import Labels, Metadata
from tracetail.store.ingest.stream import PushError
from tracetail.store.logql.strings import unescape

SERVICE_NAME = "service_name"
UNKNOWN_SERVICE = "unknown_service"
SERVICE_NAME_SOURCES = (
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
)
"""The labels from which Loki derives a missing service_name (its default discover_service_name)."""

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_PAIR = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*("(?:[^"\\\n]|\\.)*"|`[^`]*`)\s*')


@functools.lru_cache(maxsize=4096)
def parse_labels(text: str) -> Labels:
    """Return the labels of a stream given as `{a="b", c="d"}`. Raises PushError."""
    stripped = text.strip()
    if not (stripped.startswith("{") and stripped.endswith("}")):
        raise PushError(f'error parsing labels {text[:200]!r}: expected {{name="value", …}}')
    inside, position, pairs = stripped[1:-1], 0, []
    while inside[position:].strip():
        match = _PAIR.match(inside, position)
        if match is None or (match.end() < len(inside) and inside[match.end()] != ","):
            raise PushError(f"error parsing labels {text[:200]!r}: at position {position + 1}")
        pairs.append((match[1], _unquote(match[2])))
        position = match.end() + 1
    return make_labels(pairs)


def _unquote(literal: str) -> str:
    if literal.startswith("`"):
        return literal[1:-1]
    try:
        return unescape(literal[1:-1])
    except ValueError as error:
        raise PushError(f"error parsing labels: {error} in {literal[:200]}") from None


def make_labels(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Return labels sorted by name, without empty values. Raises PushError for an invalid or repeated name."""
    labels: dict[str, str] = {}
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise PushError(f"error parsing labels: {name[:100]!r} is not a label name")
        if name in labels:
            raise PushError(f"error parsing labels: duplicate label name {name[:100]!r}")
        labels[name] = value
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def with_service_name(labels: Labels) -> Labels:
    """Return labels with service_name, which Loki adds if it is missing."""
    known = dict(labels)
    if SERVICE_NAME in known:
        return labels
    found = next((known[name] for name in SERVICE_NAME_SOURCES if name in known), UNKNOWN_SERVICE)
    return tuple(sorted([*labels, (SERVICE_NAME, found)]))


def metadata_of(pairs: Mapping[str, str]) -> Metadata:
    """Return structured metadata sorted by name, the names converted to valid label names as Loki does."""
    return tuple(sorted((metadata_name(name), value) for name, value in pairs.items()))


def metadata_name(name: str) -> str:
    """Return the label name that Loki gives to structured metadata of this name."""
    if _NAME.fullmatch(name):
        return name
    name = _NOT_IN_A_NAME.sub("_", name)
    return f"key_{name}" if name[:1].isdigit() else name or "_"
