"""Crashes, full disks, foreign database files and damaged blocks."""

import resource
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import commands
from support.database import opened
from support.store_process import READY_LINE, StoreProcess
from support.waiting import wait_for

SECOND = 10**9
HOUR = 3600 * SECOND


def lines(store, trace_id, now_ns):
    """Return all lines of a trace, read page by page."""
    found, start = [], now_ns - HOUR
    while True:
        page = store.entries(f'{{traceId="{trace_id}"}}', start, now_ns + HOUR)
        found += [line for _, line, _ in page]
        if len(page) < 5000:
            return found
        start = page[-1][0] + 1


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_acknowledged_pushes_survive_kill_9_during_pushes(make_store, now_ns, kills):
    store = make_store()
    acknowledged = set()
    sent = 0
    for kill in range(kills):
        threading.Timer(0.05 + 0.02 * (kill % 10), store.process.kill).start()
        while True:
            values = [[now_ns + sent * 100 + i, f"line {sent * 100 + i}"] for i in range(100)]
            sent += 1
            try:
                answer = store.push({"traceId": "t1"}, values, timeout=30)
            except OSError:
                break
            assert answer.status == 204
            acknowledged.update(v[1] for v in values)
        store.kill()
        store.start()
    found = lines(store, "t1", now_ns)
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)
    # A push is stored as a whole or not at all.
    assert len(found) % 100 == 0
    store.stop()
    with opened(store.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_pushes_queued_at_sigterm_are_still_answered(store, now_ns):
    with ThreadPoolExecutor(8) as pool:
        pushes = [
            pool.submit(
                store.push, {"traceId": "t1"}, [[now_ns + n, f"line {n}"] for n in range(i * 500, i * 500 + 500)]
            )
            for i in range(40)
        ]
        pushes[0].result()
        store.process.send_signal(signal.SIGTERM)
        statuses = [push.exception() or push.result().status for push in pushes]
    assert store._ended() == 0
    store.start()
    assert len(lines(store, "t1", now_ns)) >= 500 * sum(status == 204 for status in statuses)


def push_until_refused(store, trace_id, now_ns):
    """Push lines that do not compress until the store refuses; return the acknowledged lines and the refusal."""
    acknowledged = []
    for n in range(1000):
        line = secrets.token_hex(50_000)
        answer = store.push({"traceId": trace_id}, [[now_ns + n, line]])
        if answer.status != 204:
            return acknowledged, answer
        acknowledged.append(line)
    raise AssertionError("the disk never became full")


def test_a_file_size_limit_gives_503_until_it_is_raised(store, now_ns):
    limit = 3_000_000
    resource.prlimit(store.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    acknowledged, refusal = push_until_refused(store, "t1", now_ns)
    assert refusal.status == 503
    assert "could not be stored" in refusal.text
    assert lines(store, "t1", now_ns) == acknowledged
    resource.prlimit(store.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert store.push({"traceId": "t1"}, [[now_ns + HOUR // 2, "space again"]]).status == 400
    assert store.push({"traceId": "t1"}, [[now_ns + SECOND, "space again"]]).status == 204
    assert lines(store, "t1", now_ns) == [*acknowledged, "space again"]


@pytest.mark.parametrize(("replaced", "killed"), [(False, False), (False, True), (True, False), (True, True)])
def test_a_database_that_is_removed_or_replaced_takes_no_more_pushes_until_a_restart(
    store, now_ns, tmp_path, replaced, killed
):
    assert store.push({"traceId": "t1"}, [[now_ns + n, f"line {n} {'x' * 500}"] for n in range(1000)]).status == 204
    copy = tmp_path / "copy.db"
    if replaced:
        backup = commands.run("store", "backup", str(copy), env=store.environment(), text=True, timeout=60)
        assert backup.returncode == 0, backup.stderr
        for n in range(40):  # so much that the database is written, and its log anew
            assert store.push({"traceId": "t2"}, [[now_ns + n, secrets.token_hex(100_000)]]).status == 204
        copy.rename(store.database)
    else:
        store.database.unlink()
    refusal = store.push({"traceId": "t1"}, [[now_ns + SECOND, "void"]])
    assert refusal.status == 503
    assert "was removed or replaced while the store ran; restart the store" in refusal.text
    assert store.call("GET", "/ready").status == 503
    if killed:
        log = store.database.with_name(f"{store.database.name}-wal")
        wait_for(lambda: log.stat().st_size == 0)
        store.kill()
    else:
        store.stop()
    store.start()
    assert len(lines(store, "t1", now_ns)) == (1000 if replaced else 0)
    assert store.push({"traceId": "t1"}, [[now_ns + SECOND, "void"]]).status == 204
    store.stop()
    with opened(store.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


class StoreOnSmallDisk(StoreProcess):
    """A store whose state is on a file system of a few megabytes, in a mount namespace of its own."""

    def start(self):
        self.state_dir.mkdir()
        script = f'mount -t tmpfs -o size=4m tmpfs "{self.state_dir}" && exec "$@"'
        self.process = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", script, "sh", sys.executable, "-m", "tracetail", "store"],
            env=self.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().removeprefix(READY_LINE).strip()
        return self

    def on_disk(self, name):
        """Return a path on the store's file system as seen from here."""
        return Path(f"/proc/{self.process.pid}/root{self.state_dir}/{name}")


@pytest.fixture
def store_on_small_disk(tmp_path):
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("needs unshare and user namespaces, to mount a small file system")
    with StoreOnSmallDisk(tmp_path / "small") as store:
        yield store


def test_a_full_disk_gives_503_with_the_reason_until_space_is_freed(store_on_small_disk, now_ns):
    store = store_on_small_disk
    ballast = store.on_disk("ballast")
    ballast.write_bytes(b"\0" * 1_000_000)
    acknowledged, refusal = push_until_refused(store, "t1", now_ns)
    assert refusal.status == 503
    assert "full" in refusal.text
    assert lines(store, "t1", now_ns) == acknowledged
    ballast.unlink()
    assert store.push({"traceId": "t1"}, [[now_ns + SECOND, "space again"]]).status == 204
    assert lines(store, "t1", now_ns) == [*acknowledged, "space again"]


def test_a_database_of_a_newer_version_is_refused(store, now_ns, tmp_path):
    store.push({"traceId": "t1"}, [[now_ns, "x"]])
    store.stop()
    with opened(store.database) as connection:
        connection.execute("PRAGMA user_version = 99")
    refused = run(store)
    assert refused.returncode == 1
    assert "newer tracetail (schema 99" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("content", [b"this is not a database at all, but some text" * 100, None])
def test_a_foreign_file_is_refused_and_not_changed(tmp_path, content):
    store = StoreProcess(tmp_path)
    store.database.parent.mkdir(parents=True)
    if content is None:
        with opened(store.database) as connection:
            connection.execute("CREATE TABLE theirs (x)")
    else:
        store.database.write_bytes(content)
    before = store.database.read_bytes()
    refused = run(store)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert store.database.read_bytes() == before


def run(store):
    return subprocess.run(
        [sys.executable, "-m", "tracetail", "store"],
        env=store.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("damage", ["entries_index = x'00'", "entries_text = x'00'", "entries_index = x''"])
def test_a_damaged_block_is_reported_and_other_streams_are_served(store, now_ns, damage):
    store.push({"traceId": "t1"}, [[now_ns, "x"]])
    store.push({"traceId": "t2"}, [[now_ns, "y"]])
    with opened(store.database) as connection:
        connection.execute(f"UPDATE block SET {damage} WHERE id = 1")
    answer = store.query_range('{traceId="t1"}', now_ns - HOUR, now_ns + HOUR)
    assert (answer.status, "damaged" in answer.text) == (500, True)
    assert lines(store, "t2", now_ns) == ["y"]
    assert store.push({"traceId": "t1"}, [[now_ns + 1, "z"]]).status == 204
