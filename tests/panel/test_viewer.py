"""A viewer that does not read costs the panel a bounded amount of memory, and gets every line once it reads."""

from tracetail.panel.trace.stream_messages import Message
from tracetail.panel.trace.viewer import Viewer


def test_the_queue_of_a_viewer_that_does_not_read_is_bounded_in_bytes():
    viewer = Viewer({})
    viewer.needs_backfill = False
    for _ in range(100):
        viewer.enqueue(Message("lines", {"text": "x" * 1_000_000}))
        assert viewer.queued_bytes < 6_000_000
    assert viewer.needs_backfill
