"""Delivers batches through the journal: what every output has in common.

    1. the batch is written to the journal: exact bodies (intents), byte range, what its acknowledgement changes
    2. each intent is sent until the output has acknowledged it; how is the matter of the subclass
    3. with the last intent the position advances and the batch is deleted, in one transaction

Another output is another subclass: it sends the entries of one intent, and acknowledges the intent.
"""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tracetail.agent.journal import queries
from tracetail.agent.journal.database import Journal, JournalFullError
from tracetail.agent.model import Batch, Intent, Outcome
from tracetail.agent.shipping.health import ShippingHealth
from tracetail.agent.shipping.in_flight import Share
from tracetail.contract.backoff import Backoff

_T = TypeVar("_T")


class JournaledDelivery(ABC):
    """Delivers batches to one output, with the positions of that output's journal."""

    def __init__(
        self,
        journal: Journal,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        receiver: str = "Loki",
    ) -> None:
        """Prepare.

        Args:
            journal: of this output.
            sleep: waits before another attempt; others may use this task's slot meanwhile.
            receiver: what entries are sent to, for messages.

        """
        self._journal = journal
        self._sleep = sleep
        self.health = ShippingHealth(receiver)

    async def deliver(self, batch: Batch, share: Share) -> Outcome:
        """Deliver a batch; return when every entry is acknowledged or stored as rejected.

        share: the bytes reserved for it; resized to the size of its bodies.
        """
        share.resize(sum(len(body.data) for body in batch.bodies))
        first, file_id = await self._write(lambda db: queries.insert_batch(db, batch))
        if batch.file is not None:
            batch.file.id = file_id
        first.may_wait = len(batch.bodies) == 1 and not batch.completes
        batch.bodies.clear()  # only the body in flight is kept in memory; the journal has the others
        return await self._deliver_intents(first.batch_id, share, first)

    async def settle(self, batches: list[int]) -> None:
        """Deliver what is left of these batches after a crash or an end of the agent."""
        for batch_id in batches:
            await self._deliver_intents(batch_id, None)

    async def _deliver_intents(self, batch_id: int, share: Share | None, first: Intent | None = None) -> Outcome:
        """Deliver a batch's intents one after another.

        share: None for a batch of an earlier process, of which entries may be stored. first: the intent to begin
        with, if it is in memory.
        """
        outcome = Outcome()
        complete = False
        while not complete:
            intent = first if first is not None else await self._write(lambda db: queries.next_intent(db, batch_id))
            first = None
            complete = await self._deliver_intent(intent, outcome, share)
            intent.body = b""  # not kept in memory while the next one is in flight
        return outcome

    @abstractmethod
    async def _deliver_intent(self, intent: Intent, outcome: Outcome, share: Share | None) -> bool:
        """Send until the result of every entry is known and in the journal; return whether the batch is complete.

        If it returns False the intent may be replaced by others.
        """

    async def _pause(self, intent: Intent, seconds: float) -> None:
        """Wait before the next attempt, without the body in memory: the journal has it."""
        intent.body = b""
        await self._sleep(seconds)
        intent.body = await self._write(lambda db: queries.intent_body(db, intent.id))

    async def _acknowledge(self, intent: Intent, *, soon: bool = False) -> bool:
        """Delete a delivered intent; return whether its batch is complete, and the position advanced.

        soon: it may wait for the next batch, since the output can be asked what it has stored.
        """
        if soon and intent.may_wait:
            self._journal.write_soon(lambda db: queries.acknowledge(db, intent))
            return True
        return await self._write(lambda db: queries.acknowledge(db, intent), durable=False)

    async def _write(self, change: Callable[[sqlite3.Connection], _T], *, durable: bool = True) -> _T:
        """Write to the journal; while its disk is full, wait and try again."""
        backoff = Backoff()
        while True:
            try:
                return await self._journal.write(change, durable=durable)
            except JournalFullError as error:
                self.health.blocked(str(error))
                await self._sleep(backoff.wait(1.0))
