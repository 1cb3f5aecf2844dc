"""A semaphore over bytes: bounds the total size of the requests that are in memory at the same time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ByteGate:
    """A budget of bytes. Requests that do not fit wait, first in, first out."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free = capacity
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def reserve(self, size: int) -> AsyncIterator[None]:
        """Reserve size bytes for the length of a with block. A size over the capacity reserves the whole capacity."""
        size = min(size, self._capacity)
        if self._waiters or self._free < size:
            turn = asyncio.get_running_loop().create_future()
            self._waiters.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._release(size)
                raise
        else:
            self._free -= size
        try:
            yield
        finally:
            self._release(size)

    def _release(self, size: int) -> None:
        self._free += size
        while self._waiters and (self._waiters[0][1].cancelled() or self._waiters[0][0] <= self._free):
            waiting_size, turn = self._waiters.popleft()
            if not turn.cancelled():
                self._free -= waiting_size
                turn.set_result(None)
