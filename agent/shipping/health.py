"""Whether entries reach an output: what prevents it, for /healthz, and in the log, not for every refusal a line."""

import logging
import time
from collections.abc import Callable, Mapping

from tracetail.loki import answers
from tracetail.loki.logql import selector

log = logging.getLogger(__name__)

_LOG_AGAIN_AFTER_SECONDS = 60.0
_REFUSED_FOR_SECONDS = 600.0
"""A stream that was refused as a whole counts as refused this long after its last batch."""
_STREAMS_MAX = 1000


class ShippingHealth:
    """What the deliveries of all logs report."""

    def __init__(self, receiver: str = "Loki", clock: Callable[[], float] = time.monotonic) -> None:
        """receiver: what entries are sent to, for messages."""
        self._receiver = receiver
        self._clock = clock
        self._blocked = ""
        self._refused: dict[str, tuple[float, str]] = {}
        """By stream: when its last batch was refused as a whole, and why."""
        self._logged: dict[str, float] = {}
        self._unlogged: dict[str, int] = {}

    @property
    def error(self) -> str:
        """Why entries do not reach the output; empty if they do."""
        if self._blocked:
            return self._blocked
        now = self._clock()
        current = {name: reason for name, (at, reason) in self._refused.items() if now - at < _REFUSED_FOR_SECONDS}
        if not current:
            return ""
        name, reason = next(reversed(current.items()))
        others = f" and of {len(current) - 1} other streams" if len(current) > 1 else ""
        return f"{self._receiver} refuses every line of {name}{others}: {reason[:300]}"

    def blocked(self, message: str) -> None:
        """Report what prevents every delivery; the same message is logged once a minute."""
        self._blocked = message
        if self._may_log(message[:60]):
            log.error("%s", message)

    def reached(self) -> None:
        """Report that the output takes or refuses entries: nothing prevents the delivery."""
        self._blocked = ""

    def delivered(self, labels: Mapping[str, str]) -> None:
        """Report that the output stored entries of this stream."""
        self._blocked = ""
        if self._refused:
            self._refused.pop(selector(labels), None)

    def refused(self, labels: Mapping[str, str], reason: str, entries: int, *, everything: bool) -> None:
        """Report refused entries. everything: no entry of the request was stored."""
        self._blocked = ""
        name = selector(labels)
        if everything:
            self._refused.pop(name, None)
            if len(self._refused) >= _STREAMS_MAX:
                del self._refused[next(iter(self._refused))]
            self._refused[name] = (self._clock(), reason)
        key = f"{answers.refusal_kind(reason)} {name}"
        count = self._unlogged.pop(key, 0) + entries
        if self._may_log(key):
            log.warning("%s refused %d lines of %s: %s", self._receiver, count, name, reason[:300])
        else:
            self._unlogged[key] = count

    def _may_log(self, key: str) -> bool:
        now = self._clock()
        if now - self._logged.get(key, -_LOG_AGAIN_AFTER_SECONDS) < _LOG_AGAIN_AFTER_SECONDS:
            return False
        if len(self._logged) >= _STREAMS_MAX:
            del self._logged[next(iter(self._logged))]
        self._logged.pop(key, None)
        self._logged[key] = now
        return True
