"""How far an output is behind what is written: the lag of each log, in bytes and seconds."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from tracetail.agent.followed_log import FollowedLog
from tracetail.contract.labels import SERVICE_NAME

_SAMPLES_MAX = 128


class Lag:
    """The lag of one log in bytes, and in seconds: the age of the oldest byte that is not acknowledged.

    It is sampled regularly, and as exact as the samples are frequent. An idle log has none, and a line after an hour
    of silence does not start with a lag of an hour.
    """

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []  # a deque is ten times as large, and most are empty
        """When the log was first seen with a size, and that size in bytes."""
        self.bytes = 0
        self.seconds = 0.0

    def sample(self, now: float, acknowledged: int, backlog: int) -> None:
        """Update the lag at the time now (seconds), by the numbers of acknowledged and of waiting bytes."""
        written = acknowledged + backlog
        while self._samples and self._samples[0][1] <= acknowledged:
            del self._samples[0]
        if backlog and (not self._samples or self._samples[-1][1] < written):
            self._samples.append((now, written))
        if len(self._samples) > _SAMPLES_MAX:
            self._samples = self._samples[::2]
        self.bytes = backlog
        self.seconds = now - self._samples[0][0] if self._samples else 0.0


class SampledLog(NamedTuple):
    """One log at the last update."""

    kind: str
    service: str
    lag: Lag


_NO_LAG = Lag()
"""Shared by all logs that wait for a change."""


class LagSampler:
    """Samples the lag of all logs of an output."""

    def __init__(self) -> None:
        self.logs: dict[str, SampledLog] = {}
        """By the key of the log."""

    def update(self, logs: Iterable[FollowedLog]) -> None:
        """Sample the lag of each log."""
        now = time.monotonic()
        sampled = {}
        for followed in logs:
            source = followed.source
            service = source.own_labels.get(SERVICE_NAME, "")
            known = self.logs.get(source.key)
            if source.asleep or followed.watched:
                if known is None or known.lag is not _NO_LAG:
                    known = SampledLog(source.kind, service, _NO_LAG)
                sampled[source.key] = known
            elif followed.open:
                lag = known.lag if known and known.lag is not _NO_LAG else Lag()
                lag.sample(now, followed.bytes, followed.backlog())
                sampled[source.key] = SampledLog(source.kind, service, lag)
        self.logs = sampled

    def seconds(self) -> float:
        """Return the age of the oldest byte that is not acknowledged, over all logs."""
        return max((log.lag.seconds for log in self.logs.values()), default=0.0)
