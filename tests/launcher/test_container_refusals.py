"""What docker and podman refuse to make or start is the cause: the error of the client, whatever it is.

The client is a script that answers as the real ones did; its errors are those of docker 20.10.24 (client 28.2.2) and
podman 4.3.1 of Debian, for `--memory=1k`, `--log-driver=nosuch`, `--cpuset-cpus=77` and a user that is not there.
"""

import json
import os

import pytest

CLIENT = """#!/bin/sh
case "$1" in
version) echo 1 ;;
image) echo '[{"Id": "sha256:1"}]' ;;
create) printf '%s\\n' "$SAID" >&2; exit 125 ;;
esac
"""
ID = "31c29c46954485ecb38b975858a32ddff74a7b3a1734038ec9cebc71b277c42f"


@pytest.mark.parametrize(
    ("runtime", "said", "why"),
    [
        (
            "docker",
            "Error response from daemon: Minimum memory limit allowed is 6MB",
            "Minimum memory limit allowed is 6MB",
        ),
        (
            "docker",
            'Error response from daemon: error looking up logging plugin nosuch: plugin "nosuch" not found',
            'error looking up logging plugin nosuch: plugin "nosuch" not found',
        ),
        (
            "podman",
            "Error: requested CPUs are not available - requested 77, available: 0-1",
            "requested CPUs are not available - requested 77, available: 0-1",
        ),
        (
            "podman",
            f"Error: unable to start container {ID}: unable to find user nosuch: no matching entries in passwd file",
            "unable to find user nosuch: no matching entries in passwd file",
        ),
    ],
)
def test_what_a_runtime_refuses_is_the_cause(world, tmp_path, runtime, said, why):
    client = tmp_path / "bin" / runtime
    client.parent.mkdir()
    client.write_text(CLIENT)
    client.chmod(0o755)
    world.environ = {**world.environ, "SAID": said, "PATH": f"{client.parent}:{os.environ['PATH']}"}
    container = {"image": "i", "runtime": runtime, "gpus": "none"}
    started = world.run("start", "--params", json.dumps({"modelName": "m", "container": container, "command": ["x"]}))
    assert (started.status, started.result["cause"]) == (10, f"the container cannot be made or started: {why}")
    known = world.launch(started.result).read()
    assert (known["exit"]["causeCode"], known["exit"]["evidence"]) == ("container_not_started", [said])
