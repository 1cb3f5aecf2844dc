"""Two machines serve one model together: two network namespaces with hostnames of their own, one trace.

The leader waits for its follower as an engine does, over the network between them; each host has its own state
directory and its own agent, and both write to one Loki.
"""

import contextlib
import ipaddress
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from support.environment import free_port
from support.machine import Machine, result_of
from support.waiting import wait_for

LEAD = """
import http.server, socket, sys, threading, json
port, meeting = int(sys.argv[1]), int(sys.argv[2])
print("waiting for the other node", flush=True)
with socket.create_server(("0.0.0.0", meeting)) as server:
    other, address = server.accept()
print(f"(RayWorkerWrapper pid=7, ip={address[0]}) INFO 11-26 16:12:36 [worker.py:1] joined", flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"data": [{"id": "big"}]}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
other.recv(1)
print("ERROR: a peer is lost", flush=True)
sys.exit(1)
"""
FOLLOW = """
import signal, socket, sys, time
while True:
    try:
        leader = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
        break
    except OSError:
        time.sleep(0.05)
print("INFO 11-26 16:12:36 [core.py:402] init engine (profile, create kv cache, warmup model) took 1 s", flush=True)
signal.pause()
"""


class Host:
    """A network namespace with a hostname, connected to this machine; what it starts has its own state directory."""

    def __init__(self, machine, number, token):
        self.name = f"node-{'ab'[number]}"
        self.address = f"10.214.0.{number + 1}"
        """On the network between the hosts."""
        self.gateway = f"10.213.{int(token[:2], 16)}.{number * 4 + 1}"
        """This machine, with Loki. Tests that run at once have networks of their own."""
        self.namespace = f"tt-{token}-{number}"
        self._link = f"tt{token}{number}"
        self.state = machine.directory / self.name
        self.environ = machine.environ | {
            "TRACETAIL_STATE_DIR": str(self.state),
            "TRACETAIL_AGENT_STATE_DIRS": str(self.state),
        }
        self._parts = []

    def connect(self):
        ip = ["ip", "-n", self.namespace]
        for command in (
            ["ip", "netns", "add", self.namespace],
            ["ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.namespace],
            ["ip", "address", "add", f"{self.gateway}/30", "dev", self._link],
            ["ip", "link", "set", self._link, "up"],
            [*ip, "address", "add", f"{ipaddress.ip_address(self.gateway) + 1}/30", "dev", "eth0"],
            [*ip, "link", "set", "eth0", "up"],
            [*ip, "link", "set", "lo", "up"],
        ):
            subprocess.run(command, check=True, capture_output=True)

    def connect_to(self, other):
        """Lay a cable between the two hosts: this machine need not forward packets."""
        cable = ["type", "veth", "peer", "name", "eth1", "netns", other.namespace]
        subprocess.run(["ip", "-n", self.namespace, "link", "add", "eth1", *cable], check=True, capture_output=True)
        for host in (self, other):
            ip = ["ip", "-n", host.namespace]
            subprocess.run([*ip, "address", "add", f"{host.address}/24", "dev", "eth1"], check=True)
            subprocess.run([*ip, "link", "set", "eth1", "up"], check=True)

    def command(self, *words):
        inside = f'hostname {self.name} && exec "$@"'
        return [
            *("ip", "netns", "exec", self.namespace, "unshare", "--uts", "sh", "-c", inside, "sh"),
            *(sys.executable, "-m", "tracetail", *words),
        ]

    def run(self, *words, **parameters):
        given = ["--params", json.dumps(parameters)] if parameters else []
        return subprocess.run(
            self.command(*words, *given), env=self.environ, capture_output=True, text=True, check=False, timeout=120
        )

    def start_agent(self):
        process = subprocess.Popen(self.command("agent"), env=self.environ, stdout=subprocess.PIPE, text=True)
        self._parts.append(process)
        assert " listening on " in process.stdout.readline()

    def disconnect(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run("stop", "--trace-id", "two-hosts")
        for process in self._parts:
            process.terminate()
            process.wait()
            process.stdout.close()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)


def _can_make_hosts():
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "needs root and ip(8)"
    name = f"tt-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return made.stderr.strip()


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    made.environ["TRACETAIL_STORE_LISTEN"] = f"0.0.0.0:{free_port()}"
    secret = tmp_path / "secret"
    secret.write_text("of-this-test\n")
    secret.chmod(0o600)
    made.environ["TRACETAIL_STORE_SECRET_FILE"] = str(secret)
    made.environ["TRACETAIL_LOKI_BEARER_TOKEN_FILE"] = str(secret)
    del made.environ["TRACETAIL_STORE_OPEN"]
    yield made
    made.close()


@pytest.fixture
def hosts(machine):
    """Return two hosts with an agent each, and start the store and the panel that both belong to."""
    if reason := _can_make_hosts():
        pytest.skip(f"no network namespaces: {reason}")
    machine.start("store")
    port = machine.addresses["store"].rpartition(":")[2]
    machine.environ["TRACETAIL_LOKI_URL"] = f"http://127.0.0.1:{port}"
    machine.start("panel")
    token = secrets.token_hex(2)
    made = [Host(machine, number, token) for number in (0, 1)]
    try:
        for host in made:
            host.connect()
            host.environ["TRACETAIL_LOKI_URL"] = f"http://{host.gateway}:{port}"
        made[0].connect_to(made[1])
        for host in made:
            host.start_agent()
        yield made
    finally:
        for host in made:
            host.disconnect()


def launches(machine):
    with urllib.request.urlopen(f"{machine.addresses['panel']}/api/launches?traceId=two-hosts") as answer:
        return json.loads(answer.read())["launches"]


def lines(machine):
    with urllib.request.urlopen(f"{machine.addresses['panel']}/api/logs?traceId=two-hosts") as answer:
        return json.loads(answer.read())["lines"]


@pytest.mark.needs("ip", "unshare")
def test_two_hosts_are_one_trace_whose_worst_state_counts(machine, hosts):
    leader, follower = hosts
    port, meeting = 8000, 29500
    common = {"modelName": "big", "traceId": "two-hosts", "nodes": 2, "engine": "custom"}
    starting = subprocess.Popen(
        leader.command(
            "start",
            "--params",
            json.dumps(
                {
                    **common,
                    "nodeRank": 0,
                    "port": port,
                    "readyWhen": "http",
                    "command": [sys.executable, "-c", LEAD, str(port), str(meeting)],
                }
            ),
        ),
        env=leader.environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: any(one["host"] == "node-a" for one in launches(machine)), "the leader in the panel")
        followed = result_of(
            follower.run(
                "start",
                **common,
                nodeRank=1,
                readyWhen="log:init engine",
                command=[sys.executable, "-c", FOLLOW, leader.address, str(meeting)],
            )
        )
        led, _ = starting.communicate(timeout=60)  # it waited for the follower
    finally:
        starting.kill()
        starting.wait()
    assert starting.returncode == 0, led
    assert (followed["role"], followed["host"]) == ("follower", "node-b")

    def all_ready():
        found = launches(machine)
        return len(found) == 2 and all(one["state"] == "ready" for one in found)

    wait_for(all_ready, "both ready in the panel")
    places = {(one["host"], one["role"], one["nodeRank"], one["nodes"]) for one in launches(machine)}
    assert places == {("node-a", "leader", 0, 2), ("node-b", "follower", 1, 2)}
    show(machine, "ready")
    assert leader.run("status", "--trace-id", "two-hosts", "--all-hosts").returncode == 0

    os.kill(followed["pid"], signal.SIGTERM)  # the leader loses its peer
    wait_for(lambda: [one["state"] for one in launches(machine)] == ["crashed", "crashed"], "both crashed")
    causes = {one["host"]: one["exit"]["cause"] for one in launches(machine)}
    assert "SIGTERM" in causes["node-b"]
    assert "a peer is lost" in causes["node-a"]
    status = leader.run("status", "--trace-id", "two-hosts", "--all-hosts")
    assert status.returncode == 3
    found = {(one["host"], one["role"], one["nodeRank"], one["state"]) for one in result_of(status)["launches"]}
    assert found == {("node-a", "leader", 0, "crashed"), ("node-b", "follower", 1, "crashed")}
    joined = wait_for(lambda: [line for line in lines(machine) if line["text"].endswith("joined")], "Ray's line")
    assert joined[0]["node"] == follower.address
    show(machine, "crashed")


def show(machine, name):
    """Keep a picture of the panel where $TRACETAIL_TEST_PICTURES names a directory."""
    directory = os.environ.get("TRACETAIL_TEST_PICTURES")
    if directory:
        url = f"{machine.addresses['panel']}/panel?traceId=two-hosts"
        time.sleep(1)
        subprocess.run(
            [sys.executable, "-c", PICTURE, url, f"{directory}/two-hosts-{name}.png"], check=True, timeout=120
        )


PICTURE = """
import sys
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1200, "height": 700})
    page.goto(sys.argv[1])
    page.wait_for_timeout(3000)
    page.screenshot(path=sys.argv[2])
    browser.close()
"""
