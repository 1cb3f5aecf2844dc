import threading
import time

from tracetail.store.query_priority import GIVE_WAY_SECONDS, QueryPriority


def test_without_a_query_nobody_waits():
    priority = QueryPriority()
    started = time.monotonic()
    for _ in range(1000):
        priority.give_way()
    assert time.monotonic() - started < 1000 * GIVE_WAY_SECONDS


def test_a_push_waits_for_the_end_of_the_queries_that_run(monkeypatch):
    monkeypatch.setattr("tracetail.store.query_priority.GIVE_WAY_SECONDS", 60.0)
    priority = QueryPriority()
    order = []

    def push():
        priority.give_way()
        order.append("push")

    with priority:
        thread = threading.Thread(target=push)
        thread.start()
        order.append("query")
    thread.join(60)
    assert order == ["query", "push"]


def test_a_push_does_not_wait_for_ever():
    priority = QueryPriority()
    with priority:
        started = time.monotonic()
        priority.give_way()
        assert time.monotonic() - started >= GIVE_WAY_SECONDS
