"""When each log is polled: ten times a second, or less often after a time without changes."""

from collections.abc import Collection, Iterable

from tracetail.agent.followed_log import FollowedLog

POLL_SECONDS = 0.1
IDLE_AFTER_SECONDS = 10.0
_IDLE_DIVISOR = 8
"""Idle logs are polled at every eighth poll."""
_IDLE_DIVISORS = ((5000, 50), (256, 20))
"""(threshold, poll divisor) pairs for large numbers of idle logs."""
_POLLS_PER_WAKEUP = 2
"""If all logs are idle, two polls are done in one wakeup, half as often: a wakeup costs as much as a poll."""


class PollSchedule:
    """Returns which logs to poll now, and how long to wait before the next poll."""

    def __init__(self) -> None:
        self._active: set[FollowedLog] = set()
        self._idle: list[list[FollowedLog]] = [[]]
        """Groups of idle logs; each poll takes one."""
        self._poll = 0

    def update(self, logs: Collection[FollowedLog]) -> None:
        """Divide these logs into active and idle ones; call it about every second."""
        idle = [log for log in logs if _is_idle(log)]
        divisor = next((divisor for threshold, divisor in _IDLE_DIVISORS if len(idle) > threshold), _IDLE_DIVISOR)
        self._idle = [idle[group::divisor] for group in range(divisor)]
        self._active = set(logs).difference(idle)

    def mark_active(self, log: FollowedLog) -> None:
        """Poll a log that is new, or that has changed, at every poll."""
        self._active.add(log)

    def next(self) -> Iterable[FollowedLog]:
        """Return the logs to poll now."""
        due = list(self._active)
        for _ in range(self._polls_per_wakeup()):
            self._poll += 1
            due += self._idle[self._poll % len(self._idle)]
        return due

    def wait_seconds(self) -> float:
        """Return how long to wait before the next poll."""
        return POLL_SECONDS * self._polls_per_wakeup()

    def _polls_per_wakeup(self) -> int:
        return 1 if self._active else _POLLS_PER_WAKEUP


def _is_idle(log: FollowedLog) -> bool:
    return log.source.asleep or (log.open and not log.source.changed_within(IDLE_AFTER_SECONDS))
