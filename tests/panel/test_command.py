"""`tracetail panel` and `tracetail token`, as processes."""

import asyncio
import os
import re
import signal
import socket

import pytest
from support import commands

from tracetail.panel.auth.access import Keys
from tracetail.panel.settings import PanelSettings

SECRET = "a secret of more than thirty-two bytes, for tests"


@pytest.fixture(autouse=True)
def _own_state(state_dir):
    """Each test has a state directory, and so a secret, of its own."""


async def tracetail(*words, **environ):
    return await commands.create(
        *words, env={**os.environ, **environ}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def test_a_panel_prints_its_address_and_stops_at_sigterm():
    process = await tracetail("panel", "--listen", "127.0.0.1:0")
    async with asyncio.timeout(60):
        line = (await process.stdout.readline()).decode()
        assert re.fullmatch(r"tracetail panel: listening on http://127\.0\.0\.1:\d+\n", line)
        process.send_signal(signal.SIGTERM)
        rest, _ = await process.communicate()
    assert (process.returncode, rest) == (0, b"")


@pytest.mark.parametrize(
    ("listen", "status", "message"),
    [("0.0.0.0:0", 1, "set panel.secret_file"), ("nonsense", 2, "expected host:port"), ("held", 1, "in use")],
)
async def test_an_unusable_address_is_reported_in_one_line(listen, status, message):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        if listen == "held":
            listen = f"127.0.0.1:{held.getsockname()[1]}"
        process = await tracetail("panel", "--listen", listen)
        async with asyncio.timeout(60):
            _, errors = await process.communicate()
    assert process.returncode == status
    assert message in errors.decode()
    assert errors.decode().count("\n") == 1


async def test_a_minted_token_gives_access_to_its_trace(tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    secret = str(tmp_path / "secret")
    words = ("--trace-id", "t1", "--scope", "read", "--scope", "download", "--seconds", "60")
    process = await tracetail("token", *words, TRACETAIL_PANEL_SECRET_FILE=secret)
    output, _ = await process.communicate()
    grant = Keys(PanelSettings(secret_file=secret)).grant("Bearer " + output.decode().strip())
    assert (grant.traces, grant.scopes) == (frozenset({"t1"}), frozenset({"read", "download"}))
    assert 50 < grant.seconds_left() <= 60


async def test_without_a_secret_no_token_is_minted():
    process = await tracetail("token", "--trace-id", "t1")
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "panel.secret_file is not set" in errors.decode()
