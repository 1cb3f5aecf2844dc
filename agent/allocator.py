"""What the agent asks of the allocator and of the garbage collector, for the sake of its speed and size."""

import ctypes
import gc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_KEEP_BYTES = 8 << 20


def tune_allocator() -> None:
    """Call this before threads begin. Where the C library is not glibc nothing happens.

    A batch's buffers of up to a MiB would each be fetched from the kernel, zeroed page by page, and given back
    (mallopt(3)): a tenth of the time that shipping takes. Below the thresholds they are used again. And each thread
    would have an arena of its own, of which there is little to gain: they take turns anyway.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        mallopt(_M_ARENA_MAX, 1)


def freeze() -> None:
    """Call this once everything is started.

    What start-up made stays for good: otherwise the collector walks over it again and again, for another tenth.
    """
    gc.collect()
    gc.freeze()
