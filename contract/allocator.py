"""Tunes the C allocator and the garbage collector for the speed and size of agent and store."""

import ctypes
import gc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_REUSE_BYTES = 8 << 20
_libc = ctypes.CDLL(None)


def tune_allocator() -> None:
    """Set the thresholds of glibc's malloc; does nothing with another C library. Call it before threads start.

    By default buffers of up to 1 MiB, a batch of the agent or a text of the store, are each mapped, zeroed page by
    page and unmapped (mallopt(3)), which takes a tenth of the time of shipping, and a third of that of a search;
    below the thresholds malloc reuses them. Each thread would get an arena of its own, which gains little: the
    threads rarely run at the same time.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _REUSE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _REUSE_BYTES)
        mallopt(_M_ARENA_MAX, 1)


def freeze() -> None:
    """Exclude the objects of the start from garbage collection. Call it once everything is started.

    They live as long as the process; traversing them takes another tenth of the time of shipping.
    """
    gc.collect()
    gc.freeze()
    give_back()


def give_back() -> None:
    """Give memory that is free back to the system, within a millisecond; does nothing if the C library is not glibc.

    By itself malloc keeps what the largest batches needed, and what is free between objects that stay.
    """
    if trim := getattr(_libc, "malloc_trim", None):
        trim(0)
