"""The byte gate admits requests in order, within its capacity, and survives cancelled waiters."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tracetail.store.ingest.byte_gate import ByteGate


async def test_requests_that_do_not_fit_wait_in_order():
    gate = ByteGate(10)
    admitted = []

    async def request(name, size, finish):
        async with gate.reserve(size):
            admitted.append(name)
            await finish.wait()

    events = [asyncio.Event() for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(request("first", 6, events[0]))
        tasks.create_task(request("second", 6, events[1]))
        tasks.create_task(request("third", 1, events[2]))
        for _ in range(3):
            await asyncio.sleep(0)
        assert admitted == ["first"]
        events[0].set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert admitted == ["first", "second", "third"]
        events[1].set()
        events[2].set()


async def test_a_size_over_the_capacity_reserves_the_whole_capacity():
    gate = ByteGate(10)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(gate.reserve(1000))
        waiter = asyncio.create_task(stack.enter_async_context(gate.reserve(1)))
        await asyncio.sleep(0)
        assert not waiter.done()
        await stack.pop_all().aclose()
        await asyncio.wait_for(waiter, 10)
    async with asyncio.timeout(60), gate.reserve(10):
        assert waiter.done()


async def test_a_cancelled_waiter_makes_way_for_the_next():
    gate = ByteGate(10)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(gate.reserve(10))
        cancelled = asyncio.create_task(stack.enter_async_context(gate.reserve(5)))
        waiter = asyncio.create_task(stack.enter_async_context(gate.reserve(10)))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not waiter.done()
        await stack.pop_all().aclose()
        await asyncio.wait_for(waiter, 10)
        assert waiter.done()
