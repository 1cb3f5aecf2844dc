"""The launches of one trace in the panel's tests, and lines of them in a stand-in for Loki."""

import time

LABELS = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "m",
    "env": "test",
    "engine": "vllm",
    "host": "h",
}
OTHER = {**LABELS, "launchId": "20261122T120001-bbbbbb", "instanceId": "i2"}
"""Of another launch of the trace."""


def fill(loki, count, *, step_ns=10**6, labels=LABELS, start=None):
    """Add `line 0` and so on, every tenth an error, of two processes in turn; return the time of the first one."""
    start = start or time.time_ns() - 300 * 10**9
    for index in range(count):
        level = "error" if index % 10 == 3 else "info"
        loki.add(labels, start + index * step_ns, f"line {index}", level=level, process=f"P{index % 2}")
    return start
