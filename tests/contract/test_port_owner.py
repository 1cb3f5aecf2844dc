"""A secret of this machine is sent to no stranger who listens at the address of a part that does not run.

Real sockets of another user: the kernel says in /proc/net/tcp whose they are.
"""

import asyncio
import os
import socket
import threading
from contextlib import contextmanager

import pytest
from support.other_user import NOBODY, needs_root, shared_directory
from support.waiting import wait_for

from tracetail.cli import configuration
from tracetail.client.errors import PanelError
from tracetail.client.panel import Panel
from tracetail.contract import port_owner, shared_secret, tcp_sockets
from tracetail.contract.port_owner import StrangerError, check_connection
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiUnavailableError

ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
SERVICE = 999
"""The uid of a service that root has installed, as that of Debian's package of Loki."""


class Listener:
    """Accepts connections, keeps what arrives, and answers 204."""

    def __init__(self, uid, host="127.0.0.1", port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with as_user(uid):
            self.socket = socket.socket(family)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self.socket.bind((host, port))
            self.socket.listen()
        self.port = self.socket.getsockname()[1]
        self.received = bytearray()
        self.ended = 0
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def answer(self):
        self._accepting.start()
        return self

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection):
        with connection:
            while data := connection.recv(65536):
                self.received += data
                connection.sendall(ANSWER)
        self.ended += 1

    def close(self):
        """End the thread first: one that is about to accept may do so at the next socket with this descriptor."""
        if self._accepting.is_alive():
            self.socket.shutdown(socket.SHUT_RDWR)
            self._accepting.join()
        self.socket.close()


@contextmanager
def as_user(uid):
    before = os.geteuid()
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def listeners():
    made = []

    def listen(*args, **more):
        made.append(Listener(*args, **more))
        return made[-1]

    yield listen
    for one in made:
        one.close()


@pytest.fixture
def secret():
    with shared_directory() as path:
        yield shared_secret.ensure({"TRACETAIL_STATE_DIR": str(path)})


def environ_of(secret, **more):
    config = secret.parent / "tracetail.toml"
    config.touch()
    return {"TRACETAIL_STATE_DIR": str(secret.parent), "TRACETAIL_CONFIG": str(config), **more}


def push(loki):
    async def run():
        async with LokiClient(loki) as client:
            await client.push_entries({"traceId": "t-1"}, [(1, "a line", {})])

    asyncio.run(run())


def connected(port, secret):
    with socket.create_connection(("127.0.0.1", port)) as one:
        check_connection(one.getsockname(), one.getpeername(), str(secret))


@needs_root
def test_the_store_that_somebody_else_plays_gets_neither_lines_nor_the_secret(listeners, secret):
    stranger = listeners(NOBODY.pw_uid).answer()
    environ = environ_of(secret, TRACETAIL_STORE_LISTEN=f"127.0.0.1:{stranger.port}")
    loki = configuration.load(None, environ).loki
    assert loki.bearer_token_file == str(secret)
    with pytest.raises(LokiUnavailableError, match=f"user nobody listens at port {stranger.port}") as refused:
        push(loki)
    assert not refused.value.sent
    wait_for(lambda: stranger.ended, "the end of the connection")
    assert not stranger.received


@needs_root
def test_a_store_of_its_own_secret_gets_it_alike(listeners, secret, tmp_path):
    stranger = listeners(NOBODY.pw_uid).answer()
    own = tmp_path / "own"
    own.write_text("the secret of the store\n")
    listen = f"127.0.0.1:{stranger.port}"
    environ = environ_of(secret, TRACETAIL_STORE_LISTEN=listen, TRACETAIL_STORE_SECRET_FILE=str(own))
    with pytest.raises(LokiUnavailableError, match="user nobody"):
        push(configuration.load(None, environ).loki)
    wait_for(lambda: stranger.ended, "the end of the connection")
    assert not stranger.received


@needs_root
def test_a_loki_that_somebody_else_runs_gets_lines_without_the_secret(listeners, secret):
    theirs = listeners(NOBODY.pw_uid).answer()
    environ = environ_of(secret, TRACETAIL_LOKI_URL=f"http://127.0.0.1:{theirs.port}")
    push(configuration.load(None, environ).loki)
    assert b"POST /loki/api/v1/push" in theirs.received
    assert b"authorization" not in theirs.received.lower()


def test_a_connection_is_looked_at_once(listeners, secret, monkeypatch):
    looked_at = []
    monkeypatch.setattr(port_owner, "sockets", lambda port: looked_at.append(port) or tcp_sockets.sockets(port))
    loki = listeners(os.geteuid()).answer()
    settings = configuration.load(None, environ_of(secret, TRACETAIL_LOKI_URL=f"http://127.0.0.1:{loki.port}")).loki

    async def run():
        async with LokiClient(settings) as client:
            for second in range(3):
                await client.push_entries({"traceId": "t-1"}, [(second, "a line", {})])

    asyncio.run(run())
    assert loki.received.count(b"POST /loki/api/v1/push") == 3
    assert looked_at == [loki.port]


@needs_root
@pytest.mark.parametrize("uid", [0, SERVICE, 61184], ids=["root", "a service", "a dynamic user"])
def test_a_service_of_the_machine_gets_it(listeners, secret, uid):
    service = listeners(uid).answer()
    environ = environ_of(secret, TRACETAIL_STORE_LISTEN=f"127.0.0.1:{service.port}")
    push(configuration.load(None, environ).loki)
    assert f"Bearer {secret.read_text().strip()}".encode() in service.received


@needs_root
def test_whoever_may_read_the_file_gets_it(listeners, secret):
    port = listeners(NOBODY.pw_uid).port
    with pytest.raises(StrangerError):
        connected(port, secret)
    os.chown(secret, -1, NOBODY.pw_gid)
    connected(port, secret)
    secret.chmod(0o600)
    with pytest.raises(StrangerError):
        connected(port, secret)
    os.chown(secret, NOBODY.pw_uid, 0)
    connected(port, secret)


@needs_root
def test_nobody_keeps_the_parts_apart_from_another_address(listeners, secret):
    ours = listeners(0)
    for host in ("127.0.0.2", "::"):
        listeners(NOBODY.pw_uid, host=host, port=ours.port)
    connected(ours.port, secret)


@needs_root
def test_a_port_that_changes_hands_does_not_help(listeners, secret):
    """A listener that closes behind an accepted connection, and one that never accepts it."""
    stranger = listeners(NOBODY.pw_uid)
    with socket.create_connection(("127.0.0.1", stranger.port)) as ours, as_user(NOBODY.pw_uid):
        theirs, _ = stranger.socket.accept()
        stranger.close()
        with theirs, as_user(0), pytest.raises(StrangerError):
            check_connection(ours.getsockname(), ours.getpeername(), str(secret))


@needs_root
def test_a_panel_that_somebody_else_plays_gets_no_secret(listeners, secret):
    stranger = listeners(NOBODY.pw_uid).answer()
    panel = Panel(f"http://127.0.0.1:{stranger.port}", None, environ_of(secret))
    with pytest.raises(PanelError, match="user nobody listens"):
        panel.info("20261122T211210-4bf92f")
    wait_for(lambda: stranger.ended, "the end of the connection")
    assert not stranger.received
