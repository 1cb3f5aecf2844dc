"""An agent reads the logs and records of other users, and does nothing else with their launches."""

import gzip
import json
import os
import threading
import time
from pathlib import Path

import pytest
from support.agent_loki import LokiStandIn
from support.agent_process import Launch
from support.callback_receiver import Receiver
from support.other_user import NOBODY, needs_root
from support.waiting import eventually, wait_for

from tracetail.agent.reading.trusted_links import open_trusted
from tracetail.agent.reading.unpacked import Unpacker
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


@pytest.mark.parametrize("kind", ["file", "directory"])
async def test_a_link_of_another_user_among_the_logs_leads_to_no_file_of_a_third(
    start_agent, loki, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "of-root" / "app.log"
    secret.parent.mkdir()
    secret.write_text("a secret\n")
    secret.chmod(0o600)
    homes = tmp_path / "homes"
    homes.mkdir()
    (homes / "user").mkdir()
    (homes / "user" / "other.log").write_text("their own line\n")
    if kind == "directory":
        (homes / "link").symlink_to(secret.parent)
    else:
        (homes / "user" / "app.log").symlink_to(secret)
    give(homes)
    agent = await start_agent(f'[[agent.sources]]\nglob = "{homes}/*/*.log"\n')
    await until(loki, "their own line")
    await eventually(lambda: "a link of user nobody leads to a file of user root" in "".join(agent.errors))
    assert not [entry.line for entry in loki.stored if "secret" in entry.line]


def test_nothing_is_unpacked_through_a_link_of_another_user(tmp_path: Path) -> None:
    secret = tmp_path / "app.log.1.gz"
    secret.write_bytes(gzip.compress(b"a secret\n"))
    link = tmp_path / "home.log.1.gz"
    link.symlink_to(secret)
    give(link)
    assert Unpacker().unpack(link, b"", Path.read_bytes) is None
    assert Unpacker().unpack(secret, b"", Path.read_bytes) == b"a secret\n"


@pytest.mark.parametrize("maker", ["root", "owner"])
async def test_a_link_of_root_or_of_the_files_owner_is_followed(
    start_agent, loki, tmp_path: Path, maker: str
) -> None:
    log = tmp_path / "data" / "run-1.txt"
    log.parent.mkdir()
    log.write_text("their own line\n")
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "app.log").symlink_to(log)
    give(log)
    if maker == "owner":
        give(logs)
    await start_agent(f'[[agent.sources]]\nglob = "{logs}/*.log"\n')
    await until(loki, "their own line")


@pytest.mark.parametrize("way", ["file", "directory"])
def test_a_link_in_a_pods_volume_leads_to_no_file_of_the_machine(tmp_path: Path, way: str) -> None:
    """Who is root in the pod makes it, with the uid of root here. As in pkg/kubelet/kubelet_getters.go."""
    secret = tmp_path / "etc" / "app.log"
    secret.parent.mkdir()
    secret.write_text("a secret")
    volume = tmp_path / "kubelet" / "pods" / "3c5e" / "volumes" / "kubernetes.io~empty-dir" / "logs"
    volume.mkdir(parents=True)
    if way == "file":
        (volume / "app.log").symlink_to(secret)
        log = volume / "app.log"
    else:
        (volume / "sub").symlink_to("../../../../../../etc")
        log = volume / "sub" / "app.log"
    assert log.read_text() == "a secret"
    with pytest.raises(PermissionError, match="leads out of it"):
        open_trusted(log)
    (volume / "run-1.log").write_text("own")
    (volume / "current.log").symlink_to("run-1.log")
    moved = tmp_path / "var-lib-kubelet"
    moved.symlink_to(tmp_path / "kubelet")
    for place in (volume, moved / volume.relative_to(tmp_path / "kubelet")):
        descriptor = open_trusted(place / "current.log")
        assert os.read(descriptor, 10) == b"own"
        os.close(descriptor)


def test_a_link_that_is_replaced_behind_the_look_leads_nowhere_else(tmp_path: Path) -> None:
    """Whoever owns the directory exchanges a file of his own and a link, thousands of times a second."""
    secret = tmp_path / "of-root"
    secret.write_text("a secret")
    home = tmp_path / "home"
    home.mkdir()
    log, link, own = home / "app.log", home / "link", home / "own"
    own.write_text("own")
    link.symlink_to(secret)
    give(home)
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            for made, target in ((link, secret), (own, None)):
                temporary = home / "next"
                temporary.symlink_to(target) if target else temporary.hardlink_to(made)
                os.chown(temporary, NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
                temporary.replace(log)

    seen: list[str] = []

    def look() -> str:
        try:
            descriptor = open_trusted(log)
        except FileNotFoundError:
            return ""
        except PermissionError:
            return "refused"
        try:
            return os.read(descriptor, 100).decode()
        finally:
            os.close(descriptor)

    def both_were_there() -> bool:
        seen.extend(look() for _ in range(500))
        return {"own", "refused"} <= set(seen)

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        wait_for(both_were_there, "a file of his own and a link")
    finally:
        stop.set()
        thread.join()
    assert "a secret" not in seen
