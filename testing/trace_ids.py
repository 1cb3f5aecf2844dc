"""The trace of one test: the ids that its requests carry, by which the server's lines about them are found."""

import itertools
import os

import pytest

from tracetail.client import Line
from tracetail.contract.identity import new_trace_id


class TraceIds:
    """A W3C trace of one test. Its id is part of every request id: lines that name a request name the test."""

    def __init__(self) -> None:
        self.trace_id = new_trace_id()
        self._numbers = itertools.count(1)

    def headers(self) -> dict[str, str]:
        """Return the headers for the next request: `traceparent` and `X-Request-Id`.

        Source: https://www.w3.org/TR/trace-context/#traceparent-header
        """
        return {
            "traceparent": f"00-{self.trace_id}-{os.urandom(8).hex()}-01",
            "X-Request-Id": f"{self.trace_id}-{next(self._numbers)}",
        }

    def is_about(self, line: Line) -> bool:
        """Return whether a line is about a request of the test."""
        return self.trace_id in line.request_id or self.trace_id in line.text


_TRACE: pytest.StashKey[TraceIds] = pytest.StashKey()


def trace_of(item: pytest.Item) -> TraceIds | None:
    """Return the trace of a test with the marker `trace`; None for another."""
    if item.get_closest_marker("trace") is None:
        return None
    return item.stash.setdefault(_TRACE, TraceIds())
