"""`--since`: an age (`10m`), a time of day (`14:00`), a day (`yesterday`, `2026-11-22`) or a time of one."""

import re
from datetime import datetime, timedelta

_AGE = re.compile(r"(\d{1,6})([smhd])")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
FORMS = "10m, 6h, 7d, 14:00, today, yesterday, 2026-11-22 or 2026-11-22T14:00"


def since_ns(text: str, now: datetime) -> int:
    """Return the time that a text means, in nanoseconds since the epoch; 0 for what is before it.

    Args:
        text: see the module. A time of day that is still to come today means yesterday's.
        now: with the time zone in which days and times of day are meant.

    Raises:
        ValueError: the text is none of these, or a time after 2262, which 64 bits do not hold.

    """
    found = int(_since(text.strip().lower(), now).timestamp() * 1_000_000) * 1000
    if found >= 1 << 63:
        raise ValueError(text)
    return max(0, found)


def _since(text: str, now: datetime) -> datetime:
    if match := _AGE.fullmatch(text):
        seconds = min(int(match[1]) * _SECONDS[match[2]], now.timestamp())
        return now - timedelta(seconds=seconds)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text in ("today", "yesterday"):
        return midnight - timedelta(days=text == "yesterday")
    if match := _CLOCK.fullmatch(text):
        found = midnight.replace(hour=int(match[1]), minute=int(match[2]), second=int(match[3] or 0))
        return found if found <= now else found - timedelta(days=1)
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
