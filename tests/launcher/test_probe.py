"""The API key of a server is sent to the server, and to nobody who is at its port before it."""

import os
import socket
import threading

import pytest
from support.other_user import NOBODY, needs_root

from tracetail.launcher import plan, probe


@needs_root
@pytest.mark.parametrize("uid", [NOBODY.pw_uid, 0], ids=["another user", "this one"])
def test_the_key_is_sent_to_no_other_user_who_listens_at_the_port(uid, tmp_path):
    """vLLM binds its port minutes after it was started: meanwhile anybody may."""
    key = tmp_path / "key"
    key.write_text("the-key-of-the-server\n")
    os.seteuid(uid)
    try:
        listener = socket.create_server(("127.0.0.1", 0))
    finally:
        os.seteuid(0)
    received = bytearray()

    def answer():
        connection, _ = listener.accept()
        with connection:
            received.extend(connection.recv(65536))
            if received:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with listener:
        thread = threading.Thread(target=answer)
        thread.start()
        target = probe.Target("127.0.0.1", listener.getsockname()[1], "the-key-of-the-server", own_key_file=str(key))
        if uid:
            with pytest.raises(probe.ProbeError, match="user nobody listens at port"):
                probe.check_ready_path(target, "/health")
        else:
            probe.check_ready_path(target, "/health")
        thread.join(30)
    assert (b"the-key-of-the-server" in received) == (uid == 0)


@pytest.mark.parametrize(
    ("container", "params", "found"),
    [
        (None, {"engine": "vllm"}, "/key"),
        (None, {}, "/key"),
        ({}, {"engine": "vllm"}, ""),
        (None, {"command": ["x"]}, ""),
        (None, {"engine": "custom"}, ""),
    ],
)
def test_only_an_engine_that_runs_here_runs_as_this_user(container, params, found):
    assert plan.own_key_file({"container": container, "params": params, "apiKeyFile": "/key"}) == found
