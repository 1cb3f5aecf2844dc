"""Pushes wait for running queries, but not for long."""

import threading
import time

from tracetail.store.query_priority import WAIT_MAX_SECONDS, QueryPriority


def test_a_push_does_not_wait_without_a_query():
    priority = QueryPriority()
    started = time.monotonic()
    for _ in range(1000):
        priority.wait_for_queries()
    assert time.monotonic() - started < 1000 * WAIT_MAX_SECONDS


def test_a_push_waits_for_the_end_of_running_queries(monkeypatch):
    monkeypatch.setattr("tracetail.store.query_priority.WAIT_MAX_SECONDS", 60.0)
    priority = QueryPriority()
    order = []

    def push():
        priority.wait_for_queries()
        order.append("push")

    with priority:
        thread = threading.Thread(target=push)
        thread.start()
        order.append("query")
    thread.join(60)
    assert order == ["query", "push"]


def test_the_wait_of_a_push_is_bounded():
    priority = QueryPriority()
    with priority:
        started = time.monotonic()
        priority.wait_for_queries()
        assert time.monotonic() - started >= WAIT_MAX_SECONDS
