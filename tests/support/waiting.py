"""Waiting for a condition, in threads and in event loops; a test never waits for a length of time."""

import asyncio
import inspect
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tracetail.contract.processes import ProcessRef, is_alive

WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.02
"""At least; after a condition that took longer as long as it took, so as not to slow down what is waited for."""


def wait_for(condition: Callable[[], Any], what: str = "the condition", seconds: float = WAIT_SECONDS) -> Any:
    """Call condition until what it returns is true, and return that; AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        assert now < deadline, f"waited {seconds:.0f} s for {what}; last seen: {value!r}"
        time.sleep(max(_PAUSE_SECONDS, now - began))


def kill(*refs: ProcessRef) -> None:
    """End processes that are no children of ours with SIGKILL, and wait until they have let go of their locks."""
    for ref in refs:
        os.kill(ref["pid"], signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, refs)), "the end of what was killed")


async def eventually(condition: Callable[[], Any], what: str = "the condition", seconds: float = WAIT_SECONDS) -> Any:
    """Do the same without blocking the event loop. What condition returns is awaited if it can be."""
    deadline = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        now = time.monotonic()
        assert now < deadline, f"waited {seconds:.0f} s for {what}; last seen: {value!r}"
        await asyncio.sleep(max(_PAUSE_SECONDS, now - began))
