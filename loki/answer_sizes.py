"""How many entries to ask for at a time, so that an answer has two megabytes whatever the length of the lines.

Loki's components send each other messages of 4 MiB by default (server.grpc_server_max_send_msg_size). What is larger
is an error, which Loki's query frontend tries again five times: a query for 150 lines of 50 KB took 20 s until it was
refused, and one for 1,000 more than 30 s.
"""

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

ANSWER_BYTES = 2 << 20
"""Of the lines of an answer, approximately."""
_ENTRIES_AT_FIRST = 16
"""Enough to know the length of the lines; the agent's longest lines, of 256 KiB, make an answer that just passes."""
_SELECTORS_MAX = 256
_SIZES = re.compile(r"larger than max \(\d+ vs\.? (\d+)\)")
"""Source: gRPC for Go, rpc_util.go and stream.go."""


class AnswerSizes:
    """The average length of the lines in the last answer about each of the most recent selectors."""

    def __init__(self) -> None:
        self._averages: OrderedDict[str, float] = OrderedDict()
        self._bytes = ANSWER_BYTES

    def entries(self, query: str) -> int:
        """Return how many entries to ask for at most."""
        average = self._averages.get(_selector_of(query))
        if average is None:
            return _ENTRIES_AT_FIRST
        return max(1, int(self._bytes / max(1.0, average)))

    def learn_limit(self, refusal: str) -> None:
        """Take the limit from a refusal that is about the size of an answer."""
        sizes = _SIZES.search(refusal)
        if sizes is not None:
            self._bytes = min(self._bytes, int(sizes[1]) // 2)

    def learn(self, query: str, result: Iterable[Mapping[str, Any]]) -> None:
        """Take the lengths from the result of a query."""
        lengths = [len(value[1]) for stream in result for value in stream["values"]]
        if len(lengths) < _ENTRIES_AT_FIRST:
            return
        selector = _selector_of(query)
        self._averages[selector] = sum(lengths) / len(lengths)
        self._averages.move_to_end(selector)
        while len(self._averages) > _SELECTORS_MAX:
            self._averages.popitem(last=False)


def _selector_of(query: str) -> str:
    """Return the query without its filters: another filter finds lines of about the same length."""
    return query.partition("}")[0]
