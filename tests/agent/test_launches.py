"""What the agent does for launches besides shipping: missing keepers, undelivered callbacks, shipped.json."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from support import commands
from support.agent_loki import LokiStandIn
from support.agent_process import Launch
from support.environment import environment
from support.waiting import eventually

from tracetail.agent.launches.outbox import OutboxSender
from tracetail.contract import outbox
from tracetail.contract.record import LaunchDir
from tracetail.contract.state import launches_dir


class Receiver:
    """Accepts callbacks; answers with the next of `statuses`, and 200 after the last."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.answers: list[str] = []
        self.bodies: list[Any] = []
        self.authorizations: list[str | None] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.authorizations.append(request.headers.get("Authorization"))
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, text=self.answers.pop(0) if self.answers else "")


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


def leave(
    launch: Launch, url: str, token_file: str = "", created_at: float | None = None, event_id: str = "e1"
) -> Path:
    return outbox.put(
        launch.dir.outbox_path,
        {
            "url": url,
            "tokenFile": token_file,
            "createdAt": time.time() if created_at is None else created_at,
            "attempts": 3,
            "body": {"eventId": event_id, "event": "crashed"},
        },
    )


async def test_a_callback_of_an_ended_keeper_is_delivered_with_its_token_after_failures(
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


async def test_a_message_that_a_chat_robot_refuses_is_sent_again_and_its_secret_never(
    start_agent, state_dir: Path, tmp_path: Path, receiver: Receiver
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("geheim\n")
    launch = Launch(state_dir)
    launch.end("crashed")
    path = leave(launch, receiver.url + "#format=feishu", str(secret))
    receiver.answers = ['{"code":19021,"msg":"sign match fail"}', '{"code":0,"msg":"success"}']
    await start_agent()
    await eventually(lambda: not path.exists())
    assert [body["msg_type"] for body in receiver.bodies] == ["post", "post"]
    assert all(body["sign"] for body in receiver.bodies)
    assert receiver.authorizations == [None, None]


async def test_a_receiver_that_accepts_no_callback_is_named_once_for_each_reason(
    state_dir: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "tracetail.agent.launches.outbox")
    receiver.statuses = [500, 500, 500, 404, 404]
    sender = OutboxSender([state_dir])
    async with aiohttp.ClientSession() as session:
        for number in (1, 2):
            launch = Launch(state_dir, number)
            launch.end("crashed")
            path = leave(launch, receiver.url)
            while path.exists():
                await sender._deliver(session, path)
    assert len(receiver.bodies) == 7
    assert caplog.messages == [
        f"{receiver.url} does not accept a callback: it answered 500; trying again for a day",
        f"{receiver.url} does not accept a callback: it answered 404; trying again for a day",
        f"{receiver.url} accepts callbacks again",
    ]


async def test_a_callback_that_is_a_day_old_is_dropped(start_agent, state_dir: Path, receiver: Receiver) -> None:
    launch = Launch(state_dir)
    launch.end("crashed")
    path = leave(launch, receiver.url, created_at=time.time() - 25 * 3600)
    agent = await start_agent()
    await eventually(lambda: not path.exists())
    assert receiver.bodies == []
    await eventually(lambda: any("dropped" in line for line in agent.errors))


async def test_a_callback_that_its_keeper_still_delivers_is_left_to_it(
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


async def test_a_receiver_that_hangs_does_not_delay_the_callbacks_to_others(
    start_agent, state_dir: Path, receiver: Receiver
) -> None:
    asked = asyncio.Event()
    hanging: set[asyncio.StreamWriter] = set()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.add(writer)
        if len(hanging) == 4:
            asked.set()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        # More than the limit of concurrent callbacks: one receiver must not use all of it.
        for number in range(1, 41):
            launch = Launch(state_dir, number)
            launch.end("crashed")
            leave(launch, url)
        other = Launch(state_dir, 0xFF)
        other.end("crashed")
        paths = [leave(other, receiver.url, event_id=f"e{number}") for number in range(3)]
        await start_agent()
        async with asyncio.timeout(60):
            await asked.wait()
        await eventually(lambda: not any(path.exists() for path in paths))
        assert sorted(body["eventId"] for body in receiver.bodies) == ["e0", "e1", "e2"]
        assert len(hanging) == 4  # so this was within the first time-out
    finally:
        server.close()
        for writer in hanging:
            writer.close()


async def test_a_callback_that_cannot_be_read_does_not_stop_the_others(
    start_agent, state_dir: Path, receiver: Receiver
) -> None:
    first, second = Launch(state_dir, 1), Launch(state_dir, 2)
    for launch in (first, second):
        launch.end("crashed")
    first.dir.outbox_path.mkdir()
    (first.dir.outbox_path / "a.json").write_text("[1]")
    (first.dir.outbox_path / "b.json").write_text('{"url": ')
    (first.dir.outbox_path / "c.json").write_text('{"url": "http://x"}')
    path = leave(second, receiver.url)
    agent = await start_agent()
    await eventually(lambda: not path.exists())
    again = leave(first, receiver.url, event_id="later")
    await eventually(lambda: not again.exists())
    assert (await agent.status())["healthy"]


def test_an_empty_outbox_is_not_listed_again_until_something_is_left_in_it(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = Launch(state_dir)
    launch.end("crashed")
    launch.dir.outbox_path.mkdir()
    an_hour_ago = time.time() - 3600
    os.utime(launch.dir.outbox_path, (an_hour_ago, an_hour_ago))
    listed: list[Path] = []
    pending = outbox.pending
    monkeypatch.setattr(outbox, "pending", lambda directory: listed.append(directory) or pending(directory))
    sender = OutboxSender([state_dir])
    assert [sender._due() for _ in range(3)] == [[], [], []]
    assert listed == [launch.dir.outbox_path]
    path = leave(launch, "http://receiver")
    assert [sender._due() for _ in range(2)] == [[(launch.dir.outbox_path, [path])]] * 2
    path.unlink()
    assert sender._due() == []


async def test_a_password_in_a_callbacks_address_is_not_logged(
    start_agent, state_dir: Path, receiver: Receiver
) -> None:
    launch = Launch(state_dir)
    launch.end("crashed")
    receiver.statuses = [500] * 100
    leave(launch, receiver.url.replace("http://", "http://anna:geheim@") + "?key=verborgen")
    agent = await start_agent()
    await eventually(lambda: any("it answered 500" in line for line in agent.errors))
    assert "geheim" not in "".join(agent.errors)
    assert "verborgen" not in "".join(agent.errors)


async def test_shipped_json_is_written_when_the_disk_has_space_again(
    start_agent, state_dir: Path, loki: LokiStandIn
) -> None:
    agent = await start_agent()
    launch = Launch(state_dir)
    # A directory at the name of the temporary file has the effect of a full disk.
    in_the_way = launch.dir.shipped_path.with_name(f".shipped.json.{agent.process.pid}")
    in_the_way.mkdir()
    launch.print("one")
    launch.end()
    await loki.until(lambda: any(line.startswith("receipt") for line in loki.lines(events=True)))
    await eventually(lambda: any("cannot write" in line for line in agent.errors))
    in_the_way.rmdir()
    await eventually(lambda: launch.dir.shipped_path.exists() and launch.shipped()["complete"])


async def test_a_server_without_a_keeper_gets_a_new_one(start_agent, loki: LokiStandIn, state_dir: Path) -> None:
    program = "import signal; print('one', flush=True); signal.pause()"
    params = {"modelName": "m", "command": [sys.executable, "-c", program], "readyWhen": "log:one"}
    environ = environment()
    environ["TRACETAIL_STATE_DIR"] = str(state_dir)

    async def tracetail(*arguments: str) -> None:
        process = await commands.create(*arguments, env=environ, stdout=asyncio.subprocess.DEVNULL)
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


async def test_a_launch_whose_lock_was_replaced_by_a_fifo_does_not_end_the_agent(
    start_agent, loki: LokiStandIn, state_dir: Path
) -> None:
    launch = Launch(state_dir)
    launch.print("one")
    agent = await start_agent()
    await loki.until(lambda: "one" in loki.lines())
    launch.dir.lock_path.unlink()
    os.mkfifo(launch.dir.lock_path)
    await eventually(lambda: any(launch.launch_id in line and "is a FIFO" in line for line in agent.errors))
    launch.print("two")
    await loki.until(lambda: "two" in loki.lines())
    assert await agent.stop() == 0
