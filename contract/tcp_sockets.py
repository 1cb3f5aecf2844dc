"""The TCP sockets of this machine, with the users that they belong to: `/proc/net/tcp` and `tcp6` (proc_net(5)).

A socket that is bound and does not listen yet is in neither.
"""

import contextlib
import socket
from pathlib import Path
from typing import NamedTuple

LISTEN = "0A"
TIME_WAIT = "06"
"""States, as in the kernel's include/net/tcp_states.h."""
_IPV4_BYTES = 4
_IPV4_MAPPED = bytes(10) + b"\xff\xff"
"""The beginning of an IPv6 address that stands for an IPv4 one (RFC 4291)."""

Address = tuple[str, int]
"""An address in its usual form, an IPv4 one also where a socket of IPv6 has it, and a port."""


class TcpSocket(NamedTuple):
    """One row."""

    local: Address
    remote: Address
    state: str
    uid: int
    """Of the process that made it; 0 for a connection that nobody has accepted yet."""
    inode: str


def sockets(port: int | None = None) -> list[TcpSocket]:
    """Return the sockets of this network namespace. port: only those with this local port."""
    end = None if port is None else f":{port:04X}"
    rows = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/self/net/{name}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if end is None or fields[1].endswith(end):
                    rows.append(
                        TcpSocket(_address(fields[1]), _address(fields[2]), fields[3], int(fields[7]), fields[9])
                    )
    return rows


def _address(text: str) -> Address:
    """Return an address of the file: 32-bit words in host byte order, and a port."""
    words, _, port = text.partition(":")
    packed = b"".join(int(words[at : at + 8], 16).to_bytes(4, "little") for at in range(0, len(words), 8))
    packed = packed.removeprefix(_IPV4_MAPPED)
    family = socket.AF_INET if len(packed) == _IPV4_BYTES else socket.AF_INET6
    return socket.inet_ntop(family, packed), int(port, 16)
