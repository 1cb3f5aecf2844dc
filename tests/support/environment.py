"""What tests start processes with: an environment without settings of tracetail, and ports that are free."""

import os
import random
import socket
from pathlib import Path

_RANDOM = random.SystemRandom()
"""Its own: the common one is seeded alike in every worker by hypothesis."""
_OPEN = ("TRACETAIL_STORE_OPEN", "TRACETAIL_AGENT_OPEN", "TRACETAIL_PANEL_OPEN")
_WITHOUT_CERTIFICATES = {"SSL_CERT_FILE": os.devnull}
"""aiohttp parses every certificate authority of the system when it is imported: a third of the time that it takes."""
_JOB = (
    *("TRACE_ID", "INSTANCE_ID", "TRACEPARENT"),
    *("GITHUB_RUN_ID", "CI_PIPELINE_ID", "BUILD_TAG", "AIRFLOW_CTX_DAG_RUN_ID", "SLURM_JOB_ID"),
    "CI",
)
"""With these a launch takes its ids from whatever runs the tests, and a terminal is taken for a job's log."""
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without settings of tracetail and ids of a run, with these variables.

    Store, agent and panel are open in it, so that a test may ask them plainly, and those of several state directories
    may work together; `guarded()` takes that away.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("TRACETAIL_")}
    own = {name: value for name, value in own.items() if name not in _JOB}
    return own | dict.fromkeys(_OPEN, "true") | _WITHOUT_CERTIFICATES | variables


def guarded(environ: dict[str, str]) -> dict[str, str]:
    """Return an environment in which store, agent and panel ask for the shared secret, as they do by default."""
    return {name: value for name, value in environ.items() if name not in _OPEN}


def kept_port() -> socket.socket:
    """Return a socket that keeps a port of loopback for a server that is stopped and started again.

    Nobody listens on it, so that connections are refused meanwhile; but the kernel gives the port to nobody else, as
    it may with one that a server had from it and has closed. The server sets SO_REUSEADDR, as asyncio does by itself.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept


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
