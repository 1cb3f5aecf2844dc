"""How much may be sent and not acknowledged, over all streams: the logs are the buffer, not the journal."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Iterator

TOTAL_BYTES = 8 << 20
BATCH_BYTES = 1 << 20
"""Set aside for a batch before it is known how large it is."""


class Budget:
    """A number of bytes for all batches together; who comes first is served first."""

    def __init__(self, total: int = TOTAL_BYTES, batch: int = BATCH_BYTES) -> None:
        self._free = total
        self._batch = batch
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def share(self) -> AsyncIterator["Share"]:
        """Wait until there is room for a batch, and hold it."""
        if self._waiting or self._free < self._batch:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn  # whoever wakes us has taken our bytes for us
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
        """Make so many bytes free (take them, if size is negative), and let in who waits for them."""
        self._free += size
        while self._waiting and self._free >= self._batch:
            turn = self._waiting.popleft()
            self._free -= self._batch
            if not turn.done():
                turn.set_result(None)


class Share:
    """What one batch holds of the budget."""

    def __init__(self, budget: Budget, size: int) -> None:
        self._budget = budget
        self.size = size

    def resize(self, size: int) -> None:
        """Hold as much as the batch turned out to be."""
        before, self.size = self.size, size
        self._budget.give_back(before - size)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Leave it to others meanwhile: what holds up this batch does not concern them."""
        size = self.size
        self.resize(0)
        try:
            yield
        finally:
            self.resize(size)
