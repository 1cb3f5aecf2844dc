"""What the agent asks of the allocator and of the garbage collector, for the sake of its speed."""

import ctypes
import gc

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEEP_BYTES = 8 << 20


def settle() -> None:
    """Call this once everything is started.

    What start-up made stays for good: without freeze() the collector walks over it again and again, for a tenth of
    the time that shipping takes.

    A batch's buffers of up to a MiB would each be fetched from the kernel and given back (mallopt(3)), zeroed page by
    page: another tenth. Below the thresholds they are used again. Where the C library is not glibc nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    gc.collect()
    gc.freeze()
