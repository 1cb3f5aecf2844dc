"""Store, agent and panel of one state directory share a secret: loopback belongs to every user of a machine."""

import contextlib
import json
import os
import re
import socket
import urllib.error
import urllib.request
import zlib
from pathlib import Path

import pytest
from support.environment import guarded
from support.machine import Machine
from support.other_user import NOBODY, needs_root, run_as, shared_directory
from support.waiting import wait_for

from tracetail.contract import shared_secret

QUERIES = {
    "store": "/loki/api/v1/labels",
    "agent": "/status",
    "panel": "/api/launches?traceId=t-1",
}
REFUSED = {"event": "crashed", "traceId": "t-1", "instanceId": "i-1", "launchId": "l-1", "message": "x"}


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("installation"))
    machine.environ = guarded(machine.environ)
    for part in QUERIES:
        machine.start(part)
    yield machine
    machine.close()


def ask(url, authorization=None, body=None, **headers):
    headers |= {"Authorization": authorization} if authorization else {}
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def bearer(machine):
    return "Bearer " + (machine.state / "secret").read_text().strip()


def test_the_secret_is_one_line_for_owner_and_group(installation):
    path = installation.state / "secret"
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.stat().st_gid == installation.state.stat().st_gid
    assert re.fullmatch(r"[\w-]{32,}\n", path.read_text())


@pytest.mark.parametrize("part", QUERIES)
def test_a_part_answers_with_the_secret_only_and_says_which_but_no_path(installation, part):
    url = installation.addresses[part] + QUERIES[part]
    for wrong in (None, "Bearer wrong", "Basic eDp5"):
        status, text = ask(url, wrong)
        assert status == 401, text
        if wrong is None:
            assert "requires its secret" in text
            assert "the file `secret` of the state directory" in text
        assert str(installation.state) not in text
        assert str(Path.home()) not in text
    assert ask(url, bearer(installation))[0] == 200
    assert ask(url, bearer(installation), **{"X-Forwarded-For": "10.0.0.1"})[0] == 200


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("part", QUERIES)
def test_no_body_is_decompressed_without_the_secret(installation, part):
    """A megabyte becomes a gigabyte: without the secret nobody occupies a part for the seconds that it takes."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(16 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # may be repeated (RFC 1951)
    began = cpu_seconds(installation.parts[part].pid)
    with socket.create_connection(installation.addresses[part].removeprefix("http://").split(":")) as client:
        head = f"POST {QUERIES[part]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: deflate\r\n"
        client.sendall(f"{head}Content-Length: {64 * len(block)}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):  # it hangs up
            client.sendall(64 * block)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while more := client.recv(65536):
                answer += more
    assert answer.startswith(b"HTTP/1.1 401")
    assert cpu_seconds(installation.parts[part].pid) - began < 0.6


def test_nobody_pushes_or_posts_without_the_secret(installation):
    push = {"streams": [{"stream": {"traceId": "t-1"}, "values": [["1", "exited state=crashed"]]}]}
    assert ask(f"{installation.addresses['store']}/loki/api/v1/push", body=json.dumps(push).encode())[0] == 401
    for path in ("/api/log/append", "/api/report/llm-start", "/api/tokens"):
        assert ask(installation.addresses["panel"] + path, body=json.dumps(REFUSED).encode())[0] == 401


def test_the_parts_and_commands_use_it_by_themselves(installation):
    command = ["sh", "-c", "echo a line; sleep 1000"]
    params = {"modelName": "m", "command": command, "readyWhen": "log:a line", "traceId": "t-2"}
    started = installation.tracetail("start", "--params", json.dumps(params))
    assert started.returncode == 0, started.stdout + started.stderr
    installation.tracetail("stop", "--trace-id", "t-2")
    wait_for(lambda: installation.tracetail("verify", "--trace-id", "t-2").returncode == 0, "the lines in Loki")
    assert "a line" in installation.tracetail("logs", "--trace-id", "t-2").stdout
    token = installation.tracetail("token", "--trace-id", "t-2").stdout.strip()
    status, text = ask(f"{installation.addresses['panel']}/api/logs?traceId=t-2", f"Bearer {token}")
    assert (status, "a line" in text) == (200, True)
    assert ask(f"{installation.addresses['panel']}/api/logs?traceId=t-1", f"Bearer {token}")[0] == 403


def test_grafanas_data_source_has_the_secret(installation):
    printed = installation.tracetail("config", "grafana").stdout
    assert f"httpHeaderValue1: {json.dumps(bearer(installation))}" in printed
    assert installation.environ["TRACETAIL_LOKI_URL"] in printed


def test_the_secret_is_sent_to_no_other_host(installation):
    environ = installation.environ | {"TRACETAIL_LOKI_URL": "http://loki.example:3100"}
    kept, installation.environ = installation.environ, environ
    try:
        assert "Bearer" not in installation.tracetail("config", "grafana").stdout
    finally:
        installation.environ = kept


def test_an_open_part_answers_everybody_and_doctor_warns(tmp_path):
    machine = Machine(tmp_path)
    try:
        machine.start("store")
        assert ask(machine.addresses["store"] + QUERIES["store"])[0] == 200
        assert "[store] open = true" in machine.tracetail("doctor").stdout
    finally:
        machine.close()


@needs_root
def test_a_user_who_may_not_read_the_state_directory_reads_nothing():
    with shared_directory() as path:
        machine = Machine(path)
        machine.environ = guarded(machine.environ)
        machine.state.chmod(0o750)
        try:
            machine.start("store")
            url = machine.addresses["store"] + QUERIES["store"]
            script = f'curl -s -H "Authorization: Bearer $(cat {machine.state}/secret)" {url}'
            done = run_as(NOBODY, "sh", "-c", script, environ={})
            assert "requires its secret" in done.stdout
            assert "Permission denied" in done.stderr
        finally:
            machine.close()


@needs_root
def test_a_secret_that_another_user_has_put_there_is_not_used(tmp_path):
    (tmp_path / "secret").write_text("known to nobody, but to the user nobody\n")
    os.chown(tmp_path / "secret", NOBODY.pw_uid, NOBODY.pw_gid)
    environ = {"TRACETAIL_STATE_DIR": str(tmp_path)}
    assert shared_secret.find(environ) != tmp_path / "secret"


def test_many_parts_that_start_at_once_make_one_secret(tmp_path):
    environ = {"TRACETAIL_STATE_DIR": str(tmp_path / "state")}
    old = os.umask(0o077)
    try:
        made = {shared_secret.ensure(environ).read_text() for _ in range(3)}
    finally:
        os.umask(old)
    assert len(made) == 1
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o750
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["secret"]
