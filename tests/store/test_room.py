import asyncio
from contextlib import AsyncExitStack

import pytest

from tracetail.store.ingest.byte_gate import Room


async def test_who_finds_the_room_full_waits_for_his_turn():
    room = Room(10)
    order = []

    async def stay(name, size, leave):
        async with room.take(size):
            order.append(name)
            await leave.wait()

    events = [asyncio.Event() for _ in range(3)]
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stay("first", 6, events[0]))
        tasks.create_task(stay("second", 6, events[1]))
        tasks.create_task(stay("third", 1, events[2]))
        for _ in range(3):
            await asyncio.sleep(0)
        assert order == ["first"]
        events[0].set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert order == ["first", "second", "third"]
        events[1].set()
        events[2].set()


async def test_more_than_there_is_counts_as_all_there_is():
    room = Room(10)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(room.take(1000))
        waiting = asyncio.create_task(stack.enter_async_context(room.take(1)))
        await asyncio.sleep(0)
        assert not waiting.done()
        await stack.pop_all().aclose()
        await asyncio.wait_for(waiting, 10)
    async with asyncio.timeout(10), room.take(10):
        assert waiting.done()


async def test_who_gives_up_waiting_leaves_his_turn_to_the_next():
    room = Room(10)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(room.take(10))
        impatient = asyncio.create_task(stack.enter_async_context(room.take(5)))
        patient = asyncio.create_task(stack.enter_async_context(room.take(10)))
        await asyncio.sleep(0)
        impatient.cancel()
        with pytest.raises(asyncio.CancelledError):
            await impatient
        assert not patient.done()
        await stack.pop_all().aclose()
        await asyncio.wait_for(patient, 10)
