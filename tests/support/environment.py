"""What tests start processes with: an environment without settings of tracetail, and ports that are free."""

import os
import random
import socket
from pathlib import Path

_RANDOM = random.SystemRandom()
"""Its own: the common one is seeded alike in every worker by hypothesis."""
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without settings of tracetail, with these variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRACETAIL_")} | variables


def free_port() -> int:
    """Return a port of loopback that nobody uses.

    It is below the range that the kernel takes ports from by itself, so that no connection and no server on port 0
    takes it before the test does, and random, so that no test that runs beside this one gets the same.
    """
    end = int(_PORT_RANGE.read_text().split()[0])
    while True:
        port = _RANDOM.randrange(min(10_000, end - 5000), end)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
