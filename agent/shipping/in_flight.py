"""Bounds what is in memory and in flight, over all logs: the log files are the buffer, not the agent."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator

IN_FLIGHT_MAX_BYTES = 8 << 20
BATCH_BYTES = 1 << 20
"""Reserved for a batch before its size is known."""
READ_SLOTS = 8


class ReadSlots:
    """Bounds how many logs hold a block in memory. A delivery that waits for Loki gives its slot to others."""

    def __init__(self, slots: int = READ_SLOTS) -> None:
        self._semaphore = asyncio.Semaphore(slots)

    async def __aenter__(self) -> None:
        """Wait for a free slot."""
        await self._semaphore.acquire()

    async def __aexit__(self, *exception: object) -> None:
        """Release the slot."""
        self._semaphore.release()

    async def sleep(self, seconds: float) -> None:
        """Sleep without a slot, then wait for a free one."""
        self._semaphore.release()
        try:
            await asyncio.sleep(seconds)
        finally:
            await self._semaphore.acquire()


class Budget:
    """A number of bytes that all batches in flight share, first come, first served."""

    def __init__(self, total: int = IN_FLIGHT_MAX_BYTES, batch: int = BATCH_BYTES) -> None:
        self._free = total
        self._batch = batch
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def share(self) -> AsyncIterator["Share"]:
        """Wait until a batch's bytes are free, and reserve them."""
        if self._waiting or self._free < self._batch:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn  # give_back() reserves the bytes before it resolves the future
            except asyncio.CancelledError:
                if turn in self._waiting:
                    self._waiting.remove(turn)
                else:
                    self.give_back(self._batch)
                raise
        else:
            self._free -= self._batch
        share = Share(self, self._batch)
        try:
            yield share
        finally:
            self.give_back(share.size)

    def give_back(self, size: int) -> None:
        """Free bytes (a negative size reserves them), and resume the tasks that wait for them."""
        self._free += size
        while self._waiting and self._free >= self._batch:
            turn = self._waiting.popleft()
            self._free -= self._batch
            if not turn.done():
                turn.set_result(None)


class Share:
    """The bytes that one batch has reserved."""

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget = budget
        self.size = size

    def resize(self, size: int) -> None:
        """Reserve the batch's actual size."""
        before, self.size = self.size, size
        self._budget.give_back(before - size)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Free the bytes within the block: the limit that delays this batch does not affect other streams."""
        size = self.size
        self.resize(0)
        try:
            yield
        finally:
            self.resize(size)
