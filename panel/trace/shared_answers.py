"""The same question, asked by many at about the same time, is put to Loki once."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
ANSWERS_KEPT = 256


class SharedAnswers:
    """Answers by what was asked: those being found out, and for a moment those that were."""

    def __init__(
        self, seconds: float, *, kept: int = ANSWERS_KEPT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._kept = kept
        self._clock = clock
        self._asked: OrderedDict[Hashable, tuple[float, asyncio.Task[Any]]] = OrderedDict()

    async def get(self, question: Hashable, find_out: Callable[[], Awaitable[T]]) -> T:
        """Return the answer, at most so many seconds old. What find_out raises is raised to all who wait for it."""
        known = self._asked.get(question)
        if known is None or (known[1].done() and (_failed(known[1]) or self._clock() - known[0] > self._seconds)):
            task = asyncio.ensure_future(_found_out(find_out))
            task.add_done_callback(_failed)  # looked at, even if nobody waits for it any more
            known = self._asked[question] = (self._clock(), task)
            self._asked.move_to_end(question)
            while len(self._asked) > self._kept:
                self._asked.popitem(last=False)
        # One who goes away does not take the answer from the others.
        answer: T = await asyncio.shield(known[1])
        return answer


async def _found_out(find_out: Callable[[], Awaitable[T]]) -> T:
    return await find_out()


def _failed(task: "asyncio.Task[Any]") -> bool:
    return task.cancelled() or task.exception() is not None
