"""How often a crashed server is restarted, and how long to wait before each restart.

The number of the attempt is in the plan, since each restart is another launch with another keeper: so the wait is
computed from it, where contract.backoff counts within one process.
"""

from tracetail.contract.logline import parse_stamp
from tracetail.contract.record import Record
from tracetail.launcher.plan import Plan

FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 60.0
MAX_ATTEMPTS = 5
"""Restarts in a row; then it is left crashed."""
STEADY_SECONDS = 600.0
"""A server that was ready for this long has worked: its crash is the first of a row."""


def next_attempt(settings: Plan, crashed: Record, now: float) -> int | None:
    """Return the number of the restart that follows a crash, from 1; None if none does.

    now: seconds since the epoch.
    """
    if settings["restart"] != "on-crash":
        return None
    attempt = settings["attempt"] + 1
    if "readyAt" in crashed and now - parse_stamp(crashed["readyAt"].encode()) / 1e9 >= STEADY_SECONDS:
        attempt = 1
    return attempt if attempt <= MAX_ATTEMPTS else None


def pause(attempt: int) -> float:
    """Return the seconds to wait before a restart. attempt: its number, from 1."""
    return min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (attempt - 1))
