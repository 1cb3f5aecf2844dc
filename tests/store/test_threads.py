"""The store's threads return what functions return, and end in order."""

import asyncio
import threading

import pytest

from tracetail.store.http.threads import Threads


@pytest.fixture
def threads():
    made = Threads(2, "some")
    yield made
    made.shutdown()


async def test_a_function_runs_in_a_thread_of_that_name(threads):
    assert await threads.run(lambda: threading.current_thread().name) == "some_0"


async def test_what_a_function_raises_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 / 0)
    assert await threads.run(lambda: 1) == 1


async def test_a_second_thread_is_started_when_the_first_is_busy(threads):
    together = threading.Barrier(2)
    await asyncio.gather(threads.run(lambda: together.wait(60)), threads.run(lambda: together.wait(60)))


async def test_a_function_whose_caller_was_cancelled_is_not_called(threads):
    release, called = threading.Event(), []
    busy = [asyncio.create_task(threads.run(lambda: release.wait(60))) for _ in range(2)]
    waiting = asyncio.create_task(threads.run(lambda: called.append(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    await asyncio.gather(*busy)
    assert await threads.run(lambda: 2) == 2
    assert called == []


async def test_the_end_waits_for_functions_that_run_and_cancels_those_that_wait():
    threads = Threads(1, "some")
    started, release, ended = threading.Event(), threading.Event(), []

    def run():
        started.set()
        release.wait(60)
        ended.append(1)

    running, waiting = (
        asyncio.create_task(threads.run(run)),
        asyncio.create_task(threads.run(lambda: ended.append(2))),
    )
    await asyncio.to_thread(started.wait, 60)
    threading.Timer(0.05, release.set).start()
    threads.shutdown()
    assert ended == [1]
    await running
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended == [1]
