"""When each log is polled.

- in use: ten times a second, but not before its linger time is over
- quiet, and its files can be watched: when one of them changes; and about every ten seconds, since a watch is a hint
- quiet otherwise (network file systems, files that left their path): every 0.8 s, or less often if there are many
"""

import itertools
import math
import time
from collections.abc import Collection, Iterable

from tracetail.agent.followed_log import FollowedLog
from tracetail.agent.reading.change_watch import ChangeWatch

POLL_SECONDS = 0.1
WATCHED_AFTER_SECONDS = 3.0
"""A log without changes for this time is watched: later than an unfinished line is flushed."""
IDLE_AFTER_SECONDS = 10.0
WATCH_AGAIN_SECONDS = 60.0
"""A log whose files cannot be watched may be on another file system after this time, or there are watches again."""
CHECK_SECONDS = 10.0
"""A watched log is looked at this often all the same."""
_CHECKS_MAX = 250
"""At most so many of them a second."""
UPDATE_SECONDS = 1.0
"""How often update() is called while a log is polled."""
QUIET_UPDATE_SECONDS = 2.5
"""How often it is called while all wait for a change."""
_IDLE_DIVISOR = 8
"""Idle logs are polled at every eighth poll."""
_IDLE_DIVISORS = ((5000, 50), (256, 20))
"""(threshold, poll divisor) pairs for large numbers of idle logs."""
TOGETHER_SECONDS = 0.02
"""What is due within this time is polled now: a wakeup costs as much as some polls."""


class PollSchedule:
    """Returns which logs to poll now, and how long to wait before the next poll."""

    def __init__(self) -> None:
        self.watch: ChangeWatch[FollowedLog] = ChangeWatch()
        self._active: set[FollowedLog] = set()
        self._idle: list[list[FollowedLog]] = []
        """Groups of idle logs; each poll takes one."""
        self._watched: dict[FollowedLog, bool] = {}
        """The logs that wait for a change, first the one that was not looked at for the longest time; whether it was
        looked at since it was watched."""
        self._to_check: list[FollowedLog] = []
        """Logs that are looked at in the next poll although nothing was seen of them."""
        self._poll = 0
        self._next_idle = 0.0
        self._updated_at = time.monotonic()
        self._checks_due = 0.0

    def update(self, logs: Collection[FollowedLog]) -> None:
        """Divide these logs into active, idle and watched ones; call it every update_seconds()."""
        now = time.monotonic()
        for log in self._watched.keys() - logs:
            self._stop_watching(log)
        self._check_some(now - self._updated_at)
        self._updated_at = now
        others = [log for log in logs if not log.watched and not self._try_watch(log, now)]
        idle = [log for log in others if _is_idle(log, now)]
        divisor = next((divisor for threshold, divisor in _IDLE_DIVISORS if len(idle) > threshold), _IDLE_DIVISOR)
        self._idle = [idle[group::divisor] for group in range(divisor)] if idle else []
        self._active = set(others).difference(idle)

    def update_seconds(self) -> float:
        """Return how long to wait before the next update()."""
        all_watched = self.watch.fileno() >= 0 and not self._active and not self._idle
        return QUIET_UPDATE_SECONDS if all_watched else UPDATE_SECONDS

    def mark_active(self, log: FollowedLog, *, has_work: bool = False) -> None:
        """Poll a log that is new, or that may have changed, at every poll. has_work: it has changed."""
        if log.watched:
            self.notice()
        if log.watched:
            if has_work and self._watched[log]:
                # Its watch has missed the change: it is of no use there (writes through mmap, say).
                log.watch_after = math.inf
            self._stop_watching(log)
        self._active.add(log)

    def check(self, log: FollowedLog) -> None:
        """Look at a log in the next poll, whatever its watch says."""
        self._to_check.append(log)

    def notice(self) -> list[FollowedLog]:
        """Make the watched logs active that have changed, and return them."""
        now = time.monotonic()
        changed = list(self.watch.changed())
        for log in changed:
            log.woken_at = now
            self._stop_watching(log)
            self._active.add(log)
        return changed

    def next(self) -> Iterable[FollowedLog]:
        """Return the logs to poll now."""
        now = time.monotonic()
        soon = now + TOGETHER_SECONDS
        due = [log for log in self._active if log.due_at <= soon]
        if self._idle and self._next_idle <= soon:
            self._next_idle = now + POLL_SECONDS
            self._poll += 1
            due += self._idle[self._poll % len(self._idle)]
        due += self._to_check
        self._to_check = []
        due = [log for log in due if not log.busy and log.not_before <= soon]
        for log in due:
            log.due_at = now + POLL_SECONDS
        return due

    def wait_seconds(self, until: float) -> float:
        """Return how long to wait before the next poll, at most until a monotonic time."""
        now = time.monotonic()
        next_poll = now + POLL_SECONDS
        due = (max(log.due_at, next_poll if log.busy else log.not_before) for log in self._active)
        first = min(until, min(due, default=until), self._next_idle if self._idle else until)
        return max(TOGETHER_SECONDS, first - now)

    def close(self) -> None:
        """Stop watching."""
        self.watch.close()

    def _try_watch(self, log: FollowedLog, now: float) -> bool:
        """Watch a quiet log; return whether it waits for a change now."""
        if log.busy or now < log.watch_after or now - log.woken_at < WATCHED_AFTER_SECONDS:
            return False
        if not (log.open or log.source.asleep) or log.source.changed_within(WATCHED_AFTER_SECONDS):
            return False
        paths = log.source.watchable()
        if not paths:
            return False
        if not self.watch.add(log, paths):
            log.watch_after = now + WATCH_AGAIN_SECONDS
            return False
        self._watched[log] = False
        log.watched = True
        self.check(log)  # it may have changed before it was watched
        return True

    def _check_some(self, seconds: float) -> None:
        """Look at those watched logs that were not looked at for the longest time. seconds: since the last call."""
        share = min(1.0, seconds / CHECK_SECONDS)
        self._checks_due += min(_CHECKS_MAX * seconds, len(self._watched) * share)
        count = int(self._checks_due)
        self._checks_due -= count
        for log in list(itertools.islice(self._watched, count)):
            del self._watched[log]
            self._watched[log] = True
            self.check(log)

    def _stop_watching(self, log: FollowedLog) -> None:
        self.watch.remove(log)
        self._watched.pop(log, None)
        log.watched = False


def _is_idle(log: FollowedLog, now: float) -> bool:
    if log.source.asleep:
        return True
    is_quiet = now - log.woken_at > IDLE_AFTER_SECONDS
    return is_quiet and log.open and not log.source.changed_within(IDLE_AFTER_SECONDS)
