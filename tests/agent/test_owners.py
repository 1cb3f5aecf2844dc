"""An agent reads the logs and records of other users, and does nothing else with their launches."""

import json
import os
import time
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn
from support.agent_process import Launch
from support.callback_receiver import Receiver
from support.other_user import NOBODY, needs_root
from support.waiting import eventually

from tracetail.contract.processes import process_ref

pytestmark = needs_root


def give(*paths: Path) -> None:
    """Make files and directories, with all that is in them, those of the user nobody."""
    for top in paths:
        for path in (top, *top.rglob("*")):
            os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)


async def until(loki: LokiStandIn, text: str) -> None:
    await loki.until(lambda: any(entry.line == text for entry in loki.stored))


async def test_a_launch_of_another_user_is_read_and_left_alone(start_agent, loki, state_dir: Path) -> None:
    ref = process_ref(os.getpid())
    assert ref is not None
    theirs = Launch(state_dir, 1, server=ref, keeper=ref)
    (theirs.dir.path / "plan.json").write_text(json.dumps({"restart": "on-crash"}))
    theirs.print("their line")
    theirs.lock.release()
    ours = Launch(state_dir, 2, server=ref, keeper=ref)
    ours.print("our line")
    ours.lock.release()
    give(theirs.dir.path, theirs.segments[0])
    await start_agent()
    await until(loki, "their line")
    await until(loki, "our line")
    # The agent starts a keeper for our launch, which it looks at after theirs.
    await eventually(lambda: (ours.dir.path / "keeper.log").exists() and ours.dir.shipped_path.exists())
    assert sorted(path.name for path in theirs.dir.path.iterdir()) == ["lock", "plan.json", "record.json"]


@pytest.mark.parametrize("kind", ["path", "elsewhere", "link", "directory"])
async def test_a_file_that_the_agent_may_read_and_the_launchs_owner_may_not_is_not_shipped(
    start_agent, loki, state_dir: Path, tmp_path: Path, kind: str
) -> None:
    logs = state_dir / "logs"
    theirs = Launch(state_dir, 1)
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = (outside if kind in ("elsewhere", "directory") else logs) / "file.log"
    secret.write_bytes(theirs.line("a secret"))
    secret.chmod(0o600)
    (logs / "there").symlink_to(outside)
    (logs / "link.log").symlink_to(secret)
    named = {"link": logs / "link.log", "directory": logs / "there" / "file.log"}.get(kind, secret)
    theirs.print("their line")
    theirs.segments.append(named)
    theirs.save()
    give(theirs.dir.path, theirs.segments[0])
    agent = await start_agent()
    await until(loki, "their line")
    await eventually(lambda: any("file.log" in line or "link.log" in line for line in agent.errors))
    assert not any("a secret" in entry.line for entry in loki.stored)


async def test_the_log_of_another_user_outside_the_state_directory_needs_a_root(
    start_agent, loki, state_dir: Path, tmp_path: Path
) -> None:
    theirs = Launch(state_dir, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    theirs.segments = [theirs.segments[0].rename(elsewhere / "x.log")]
    theirs.record["logFile"] = str(theirs.segments[0])
    theirs.save()
    theirs.print("their line")
    give(theirs.dir.path, elsewhere)
    refusing = await start_agent()
    await eventually(lambda: any("[agent] log_roots" in line for line in refusing.errors))
    await refusing.stop()
    assert not loki.stored
    await start_agent(f'[agent]\nlog_roots = ["{elsewhere}"]\n')
    await until(loki, "their line")


async def test_only_callbacks_of_the_agents_user_are_sent(start_agent, loki, state_dir: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the agent")
    secret.chmod(0o600)
    receiver = Receiver()
    try:
        for number, name in enumerate(("theirs", "placed", "ours"), start=1):
            launch = Launch(state_dir, number, state="stopped")
            launch.lock.release()
            launch.dir.outbox_path.mkdir()
            path = launch.dir.outbox_path / "1.json"
            callback = {
                "url": receiver.url,
                "tokenFile": str(secret),
                "createdAt": time.time(),
                "attempts": 0,
                "body": {"eventId": "1", "name": name},
            }
            path.write_text(json.dumps(callback))
            give(*{"theirs": [launch.dir.path], "placed": [path]}.get(name, []))
        await start_agent()
        await eventually(lambda: not path.exists())
        assert [post["name"] for post in receiver.posts] == ["ours"]
    finally:
        receiver.close()
