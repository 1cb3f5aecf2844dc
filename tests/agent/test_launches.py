"""What the agent does for launches beside shipping: a keeper for an orphan, callbacks left behind."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.agent_loki import LokiStandIn
from support.agent_process import Launch, eventually

from contract import outbox
from contract.record import LaunchDir
from contract.state import launches_dir


class Receiver:
    """Takes callbacks; `statuses` are used up one per request, then it answers 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.bodies: list[Any] = []
        self.authorizations: list[str | None] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.authorizations.append(request.headers.get("Authorization"))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def receiver():
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/callback", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
    yield receiver
    await runner.cleanup()


def leave(launch: Launch, url: str, token_file: str = "", created_at: float | None = None) -> Path:
    return outbox.put(
        launch.dir.outbox_path,
        {
            "url": url,
            "tokenFile": token_file,
            "createdAt": time.time() if created_at is None else created_at,
            "attempts": 3,
            "body": {"eventId": "e1", "event": "crashed"},
        },
    )


async def test_a_callback_left_behind_is_delivered_with_its_token_after_failures(
    start_agent, state_dir: Path, tmp_path: Path, receiver: Receiver
) -> None:
    token = tmp_path / "token"
    token.write_text("geheim\n")
    launch = Launch(state_dir)
    launch.end("crashed")
    path = leave(launch, receiver.url, str(token))
    receiver.statuses = [500, 404]
    await start_agent()
    await eventually(lambda: not path.exists())
    assert receiver.bodies == [{"eventId": "e1", "event": "crashed"}] * 3
    assert set(receiver.authorizations) == {"Bearer geheim"}


async def test_a_callback_that_is_a_day_old_is_dropped(start_agent, state_dir: Path, receiver: Receiver) -> None:
    launch = Launch(state_dir)
    launch.end("crashed")
    path = leave(launch, receiver.url, created_at=time.time() - 25 * 3600)
    agent = await start_agent()
    await eventually(lambda: not path.exists())
    assert receiver.bodies == []
    await eventually(lambda: any("dropped" in line for line in agent.errors))


async def test_a_callback_whose_keeper_is_about_it_is_left_to_it(
    start_agent, state_dir: Path, receiver: Receiver, loki: LokiStandIn
) -> None:
    kept, gone = Launch(state_dir, 1), Launch(state_dir, 2)
    gone.end("crashed")
    path = leave(kept, receiver.url)
    other = leave(gone, receiver.url)
    await start_agent()
    await eventually(lambda: not other.exists())
    assert path.exists()
    assert len(receiver.bodies) == 1


async def test_a_server_without_a_keeper_gets_a_new_one(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    program = "import signal; print('one', flush=True); signal.pause()"
    params = {"modelName": "m", "command": [sys.executable, "-c", program], "readyWhen": "log:one"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TRACETAIL_")}
    environ["TRACETAIL_STATE_DIR"] = str(state_dir)

    async def tracetail(*arguments: str) -> None:
        command = (sys.executable, "-m", "cli.main", *arguments)
        process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=asyncio.subprocess.DEVNULL)
        assert await process.wait() == 0

    await tracetail("start", "--params", json.dumps(params))
    try:
        [path] = launches_dir(state_dir).iterdir()
        launch = LaunchDir(path)
        await start_agent()
        await loki.until(lambda: "one" in loki.lines())
        first = launch.read()["keeper"]
        os.kill(first["pid"], signal.SIGKILL)
        await loki.until(lambda: any(line.startswith("adopted") for line in loki.lines(events=True)))
        await eventually(lambda: launch.read()["keeper"] != first)
        assert launch.lock_held()
    finally:
        await tracetail("stop", "--model-name", "m")
