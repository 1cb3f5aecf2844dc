"""Looks up which entries of a push request Loki has stored, when its answer was lost or says nothing of them."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tracetail.agent.shipping.health import ShippingHealth
from tracetail.contract.backoff import Backoff
from tracetail.loki.client import LokiClient
from tracetail.loki.entries import Entry
from tracetail.loki.errors import LokiError
from tracetail.loki.logql import selector

log = logging.getLogger(__name__)

_ATTEMPTS_MAX = 5
_FORBIDDEN = (401, 403, 404, 405)
_COMPARED_CHARACTERS = 128
"""Of an entry's text: a Loki with max_line_size_truncate stores the beginning of a long line only."""


class Lookup:
    """Queries Loki for the entries of a request."""

    def __init__(self, loki: LokiClient, health: ShippingHealth, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._loki = loki
        self._health = health
        self._sleep = sleep

    async def missing(self, labels: Mapping[str, str], entries: Sequence[Entry]) -> list[int] | None:
        """Return the indexes of the entries that Loki does not have; None if it cannot be read.

        labels: of the stream. Waits while Loki is not reachable.
        """
        backoff = Backoff()
        attempts = 0
        first_ns = min(entry.time_ns for entry in entries)
        last_ns = max(entry.time_ns for entry in entries)
        while True:
            try:
                found = await self._loki.all_entries(selector(labels), first_ns, last_ns + 1)
                break
            except LokiError as error:
                if error.status is None:
                    self._health.blocked(str(error))
                else:
                    attempts += 1
                    if error.status in _FORBIDDEN or attempts >= _ATTEMPTS_MAX:
                        log.warning("cannot look up what Loki has stored, sending it again: %s", error)
                        return None
            await self._sleep(backoff.wait())
        stored = {(entry.time_ns, entry.line[:_COMPARED_CHARACTERS]) for entry in found}
        return [index for index, entry in enumerate(entries) if (entry.time_ns, _beginning(entry)) not in stored]


def _beginning(entry: Entry) -> str:
    # Four bytes hold any character: the cut cannot take away one that is compared.
    return entry.text[: _COMPARED_CHARACTERS * 4].decode(errors="replace")[:_COMPARED_CHARACTERS]
