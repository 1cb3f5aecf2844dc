"""The labels of an entry while it passes the stages of a query, and the errors that stages add to them."""

import re
from collections.abc import Callable

from tracetail.store.disk.block import Labels

ERROR = "__error__"
ERROR_DETAILS = "__error_details__"
ERROR_LABELS = (ERROR, ERROR_DETAILS, "__preserve_error__")
EXTRACTED = "_extracted"
"""Appended to the name of a label that the stream already has, as in Loki."""
NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")

LabelSet = dict[str, str]
"""All labels of an entry: those of the stream, of its structured metadata, and those that parsers extracted."""
LabelStage = Callable[[LabelSet, Labels, bytes], bool]
"""Changes the labels, given the stream's own labels and the line; returns whether the entry is kept."""


def result_labels(labels: LabelSet) -> Labels:
    """Return the labels of a result: sorted by name, without empty values."""
    found = labels.items() if all(labels.values()) else [(name, value) for name, value in labels.items() if value]
    return tuple(sorted(found))


def has_label(labels: Labels, name: str) -> bool:
    """Return whether the labels include this name."""
    return any(name == known for known, _ in labels)


def extracted_name(stream: Labels, name: str) -> str:
    """Return the name under which a parser stores a label, which must not replace one of the stream."""
    return name + EXTRACTED if has_label(stream, name) else name


def set_error(labels: LabelSet, error: str, details: str) -> None:
    """Mark the entry with an error of a stage."""
    labels[ERROR] = error
    if details:
        labels[ERROR_DETAILS] = details


def label_name(key: str) -> str:
    """Return the label name for a key: invalid characters become `_`."""
    key = key.strip()
    if key[:1].isdigit() and key[:1].isascii():
        key = "_" + key
    return NOT_IN_A_NAME.sub("_", key)
