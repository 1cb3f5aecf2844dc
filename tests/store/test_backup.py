"""Backups of a running store."""

import time

from support import commands
from support.database import opened
from support.store_process import StoreProcess

SECOND = 10**9
HOUR = 3600 * SECOND


def back_up(store, target):
    return commands.run("store", "backup", str(target), env=store.environment(), text=True, timeout=60)


def test_a_backup_taken_during_pushes_can_be_restored(store, now_ns, tmp_path):
    target = tmp_path / "backup.db"
    acknowledged = 0
    process = None
    deadline = time.monotonic() + 60
    while process is None or process.poll() is None:
        assert store.push({"traceId": "t1"}, [[now_ns + acknowledged, f"line {acknowledged}"]]).status == 204
        acknowledged += 1
        if acknowledged == 50:
            process = commands.popen("store", "backup", str(target), env=store.environment())
        assert time.monotonic() < deadline
    assert process.wait() == 0
    restored = StoreProcess(tmp_path / "restored")
    restored.database.parent.mkdir(parents=True)
    target.rename(restored.database)
    with restored:
        found = [line for _, line, _ in restored.entries('{traceId="t1"}', now_ns - HOUR, now_ns + HOUR)]
    assert 50 <= len(found) <= acknowledged
    assert found == [f"line {n}" for n in range(len(found))]


def test_a_backup_needs_a_database_and_does_not_overwrite_a_file(store, tmp_path):
    existing = tmp_path / "precious"
    existing.write_text("mine")
    refused = back_up(store, existing)
    assert (refused.returncode, existing.read_text()) == (1, "mine")
    assert "does not overwrite" in refused.stderr
    refused = back_up(StoreProcess(tmp_path / "nowhere"), tmp_path / "new")
    assert (refused.returncode, "there is no database" in refused.stderr) == (1, True)
    assert not (tmp_path / "new").exists()


def test_a_backup_passes_the_integrity_check(store, now_ns, tmp_path):
    store.push({"traceId": "t1"}, [[now_ns, "x"]])
    assert back_up(store, tmp_path / "copy.db").returncode == 0
    with opened(tmp_path / "copy.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
