"""What the running kernel can do."""

import platform
import re

_RELEASE = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])

KEEPS_EXIT_STATUS = _RELEASE >= (6, 15)
"""PIDFD_GET_INFO has the exit status of a process that was reaped (PIDFD_INFO_EXIT: linux/pidfd.h)."""
WHY_NOT = f"PIDFD_INFO_EXIT needs Linux 6.15, this is {platform.release()}"
