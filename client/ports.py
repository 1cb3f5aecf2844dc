"""Free ports for servers."""

import random
import socket
from pathlib import Path

_RANDOM = random.SystemRandom()
"""Its own: tests seed the common one alike in every worker."""
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST = 10_000


def free_port() -> int:
    """Return a port that no server of this machine listens at.

    It is below the range that the kernel takes ports for connections from, so that none takes it before the server
    does, and random, so that another process that asks at the same time gets another one.
    """
    end = int(_PORT_RANGE.read_text(encoding="ascii").split()[0])
    while True:
        port = _RANDOM.randrange(min(_FIRST, end - 5000), end)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
