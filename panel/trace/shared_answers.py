"""Coalesces equal queries that are made at about the same time into one, and caches their answers briefly."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
CACHE_SIZE = 256


class SharedAnswers:
    """A cache of answers, and of the tasks that are computing one."""

    def __init__(
        self, seconds: float, *, size: int = CACHE_SIZE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create a cache. seconds: how long an answer is valid; size: the largest number of answers."""
        self._seconds = seconds
        self._size = size
        self._clock = clock
        self._tasks: OrderedDict[Hashable, tuple[float, asyncio.Task[Any]]] = OrderedDict()

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[T]]) -> T:
        """Return the cached answer for the key, or compute it. Every caller that waits gets what compute raises."""
        known = self._tasks.get(key)
        if known is None or (known[1].done() and (_failed(known[1]) or self._clock() - known[0] > self._seconds)):
            task = asyncio.ensure_future(_awaited(compute))
            task.add_done_callback(_failed)  # retrieves the exception, even if no caller waits any more
            known = self._tasks[key] = (self._clock(), task)
            self._tasks.move_to_end(key)
            while len(self._tasks) > self._size:
                self._tasks.popitem(last=False)
        # A caller that is cancelled does not cancel the task for the others.
        answer: T = await asyncio.shield(known[1])
        return answer


async def _awaited(compute: Callable[[], Awaitable[T]]) -> T:
    return await compute()


def _failed(task: "asyncio.Task[Any]") -> bool:
    return task.cancelled() or task.exception() is not None
