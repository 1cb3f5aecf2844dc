"""The entries of a result as JSON in plain Python, with the same results as `_streams_json.pyx`."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import orjson

from tracetail.store.query.log_query import Entry


def encode_streams(entries: Sequence[Entry]) -> bytes:
    """Return entries as a JSON array of streams: grouped by their labels, whose names differ, and sorted by them.

    Each stream is an object `{"stream": {name: value, …}, "values": [[time, line], …]}`, times are texts, and the
    entries of a stream keep their order. What is not UTF-8 in a line is replaced.
    """
    grouped: defaultdict[Any, list[tuple[str, str]]] = defaultdict(list)
    # Entries of a block share their labels: these are hashed, which takes a while, once for each of them.
    by_object: dict[int, list[tuple[str, str]]] = {}
    for time_ns, _, _, _, line, labels in entries:
        values = by_object.get(id(labels))
        if values is None:
            values = by_object[id(labels)] = grouped[labels]
        values.append((str(time_ns), line.decode("utf-8", "replace")))
    return orjson.dumps([{"stream": dict(labels), "values": grouped[labels]} for labels in sorted(grouped)])
