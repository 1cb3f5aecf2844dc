"""Whether a port of this machine is held by a stranger: somebody who may not read the secret that is sent there.

Loopback belongs to every user of a machine, so anybody can listen at the address of a part that does not run, and
would be sent its secret with the next request. The kernel knows whose a socket is (`/proc/net/tcp`).
"""

import ipaddress
import os
import pwd
import stat
from pathlib import Path

from tracetail.contract.owned_files import user_name
from tracetail.contract.tcp_sockets import LISTEN, Address, TcpSocket, sockets

_SYSTEM_UIDS = range(1000)
"""Services that root has installed: SYS_UID_MAX of login.defs(5)."""
_DYNAMIC_UIDS = range(61184, 65520)
"""Of systemd's DynamicUser=, which only root can start: https://systemd.io/UIDS-GIDS/."""


class StrangerError(ConnectionError):
    """A request with a secret is not sent, because a stranger holds the port; the message says who."""

    def __init__(self, peer: Address, user: str, secret: str) -> None:
        super().__init__(
            f"user {user} listens at port {peer[1]} of this machine and may not read {secret}, "
            "so it is not sent there: end that program, or use another port"
        )


def check_connection(local: Address, peer: Address, secret: str) -> None:
    """Raise StrangerError if the other end of a connection on this machine is a stranger's.

    It has to be looked at after connecting: before, the port might change hands in between.

    Args:
        local: this end, as getsockname() says it.
        peer: the other one.
        secret: path of the file with the secret that is about to be sent.

    """
    local, peer = _plain(local), _plain(peer)
    known = sockets(peer[1])
    # Of a connection that was not accepted yet, only the listener shows whose it is.
    accepted = [one for one in known if one.local == peer and one.remote == local]
    _check([*accepted, *_listener(known, peer)], peer, secret)


def _check(found: list[TcpSocket], peer: Address, secret: str) -> None:
    for one in found:
        if not _may_have(one.uid, secret):
            raise StrangerError(peer, user_name(one.uid), secret)


def _listener(known: list[TcpSocket], peer: Address) -> list[TcpSocket]:
    """Return the socket that a connection to an address reaches: the one that is bound to the most of it."""
    for address in (peer[0], "0.0.0.0" if "." in peer[0] else "::", "::"):  # noqa: S104  (nothing is bound)
        if found := [one for one in known if one.state == LISTEN and one.local[0] == address]:
            return found
    return []


def _may_have(uid: int, secret: str) -> bool:
    """Return whether a user is a service of the machine, is this one, or may read the file with the secret."""
    if uid in _SYSTEM_UIDS or uid in _DYNAMIC_UIDS or uid == os.geteuid():
        return True
    try:
        status = Path(secret).stat()
    except OSError:
        return False
    return uid == status.st_uid or (bool(status.st_mode & stat.S_IRGRP) and status.st_gid in _groups(uid))


def _groups(uid: int) -> list[int]:
    try:
        user = pwd.getpwuid(uid)
        return os.getgrouplist(user.pw_name, user.pw_gid)
    except (KeyError, OSError):
        return []


def _plain(address: Address) -> Address:
    """Return an address as tcp_sockets has it: without scope, that of IPv4 in an IPv6 one as IPv4."""
    found = ipaddress.ip_address(address[0].partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found), address[1]
