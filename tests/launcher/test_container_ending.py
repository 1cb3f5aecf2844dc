"""What somebody else removes ends as removed, also if the keeper finds it before it is gone.

The client is a script. The state is what docker 20.10 says between the kill and the end of `docker rm --force`: it is
removing from the start (ContainerRm in daemon/delete.go, StateString in container/state.go of
https://github.com/moby/moby/tree/v20.10.24).
"""

import json
import os

import pytest

from tracetail.launcher.containers import ending
from tracetail.launcher.containers.client import Client

CLIENT = """#!/bin/sh
case "$1" in
ps) [ -e "$GONE" ] || echo 31c29c46954485ec ;;
container) printf '%s\\n' "$FOUND" ;;
rm) : > "$GONE" ;;
esac
"""


@pytest.mark.parametrize(("status", "removed"), [("removing", True), ("exited", False)])
def test_a_container_that_is_being_removed_was_removed_by_somebody(tmp_path, status, removed):
    client = tmp_path / "docker"
    client.write_text(CLIENT)
    client.chmod(0o755)
    state = {"Status": status, "Running": False, "ExitCode": 137, "StartedAt": "2026-11-28T23:51:02.1Z"}
    environ = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "GONE": str(tmp_path / "gone"),
        "FOUND": json.dumps([{"Id": "31c29c46954485ec", "State": state}]),
    }
    ended = ending.end(Client("docker", environ), {"launch": "l"}, 1.0)
    assert (ended.was_removed, ended.was_running) == (removed, False)
    assert ended.container.exit_code == 137
