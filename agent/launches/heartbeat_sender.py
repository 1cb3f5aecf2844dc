"""Sends the machine's heartbeat: which launches this agent follows at this moment (contract.heartbeat)."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

from tracetail.contract.heartbeat import SERVICE, heartbeat_lines
from tracetail.contract.labels import HOST, SERVICE_NAME
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiError

log = logging.getLogger(__name__)


class HeartbeatSender:
    """Pushes a heartbeat at a fixed interval, as long as there are launches.

    Not through the journal: a heartbeat that Loki does not take is worth nothing a minute later.
    """

    def __init__(
        self,
        client: LokiClient,
        interval_seconds: float,
        labels: Mapping[str, str],
        launches: Callable[[], Mapping[str, Sequence[str]]],
    ) -> None:
        """Prepare.

        Args:
            client: of the Loki that the logs are shipped to.
            interval_seconds: between two heartbeats; 0 for none.
            labels: added to those of the heartbeat's stream.
            launches: returns the launchIds of the launches that run, by the hosts in their labels.

        """
        self._client = client
        self._interval_seconds = interval_seconds
        self._labels = labels
        self._launches = launches

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        if not self._interval_seconds:
            return
        # Agents that were started by one command must not all push in the same second.
        await asyncio.sleep(self._interval_seconds * random.random())
        while True:
            for host, launch_ids in self._launches().items():
                await self._send(host, launch_ids)
            await asyncio.sleep(self._interval_seconds)

    async def _send(self, host: str, launch_ids: Sequence[str]) -> None:
        now = time.time_ns()
        lines = heartbeat_lines(sorted(launch_ids), self._interval_seconds)
        entries: list[tuple[int, str, dict[str, str]]] = [(now + place, line, {}) for place, line in enumerate(lines)]
        try:
            await self._client.push_entries({**self._labels, SERVICE_NAME: SERVICE, HOST: host}, entries)
        except LokiError as error:  # delivery of the logs reports what is wrong with Loki
            log.debug("heartbeat: %s", error)
