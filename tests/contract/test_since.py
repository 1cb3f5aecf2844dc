"""What `--since` means."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tracetail.contract.since import since_ns

CHINA = timezone(timedelta(hours=8))
NOW = datetime(2026, 11, 26, 9, 30, 15, tzinfo=CHINA)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("6H", NOW - timedelta(hours=6)),
        ("7d", NOW - timedelta(days=7)),
        ("today", datetime(2026, 11, 26, tzinfo=CHINA)),
        ("yesterday", datetime(2026, 11, 25, tzinfo=CHINA)),
        ("08:05", datetime(2026, 11, 26, 8, 5, tzinfo=CHINA)),
        ("14:00", datetime(2026, 11, 25, 14, tzinfo=CHINA)),  # still to come today
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=CHINA)),
        ("2026-11-22T14:00", datetime(2026, 11, 22, 14, tzinfo=CHINA)),
        ("2026-11-22 14:00:05+00:00", datetime(2026, 11, 22, 14, 0, 5, tzinfo=UTC)),
        ("999999d", datetime(1970, 1, 1, tzinfo=UTC)),  # further back than time_t and Loki go
        ("0001-01-01", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_age_a_clock_or_a_date(text, expected):
    assert since_ns(text, NOW) == int(expected.timestamp()) * 10**9


@pytest.mark.parametrize("text", ["", "noon", "25:00", "10", "10 minutes", "-5m", "2026-13-01", "9999-12-31"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011  (the message is the caller's)
        since_ns(text, NOW)
