"""Real Prometheus and Pushgateway processes for tests."""

import asyncio
import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

START_SECONDS = 60


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(condition, what, seconds=START_SECONDS):
    """Return condition()'s first true answer; errors of the network count as not yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, AssertionError):
            answer = condition()
            if answer:
                return answer
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s: {what}")


async def eventually(condition, what, seconds=START_SECONDS):
    """Wait, without blocking the loop, until condition() is true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (the condition is of another process, or of a registry)
            await asyncio.sleep(0.01)
    assert condition(), what


async def eventually_async(condition, what, seconds=START_SECONDS):
    """Wait until what condition() returns, awaited, is true."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.05)
    assert await condition(), what


def get(url):
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()


@contextlib.contextmanager
def _running(command, ready_url, log):
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:

        def ready():
            if process.poll() is not None:
                raise RuntimeError(f"{command[0]} ended: {log.read_text()[-2000:]}")
            return get(ready_url) is not None

        wait_until(ready, f"{command[0]} ready: {log}")
        yield process
    finally:
        process.terminate()
        process.wait(30)


class Prometheus:
    def __init__(self, url):
        self.url = url
        self.write_url = url + "/api/v1/write"

    def query(self, expression, at=None):
        """Return [(labels, value)] of an instant query."""
        params = {"query": expression, **({"time": str(at)} if at is not None else {})}
        try:
            answer = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode(params)}")
        except urllib.error.HTTPError as error:
            raise ValueError(f"{expression}: {error.read().decode()}") from error
        data = json.loads(answer)["data"]
        assert data["resultType"] == "vector", f"{expression} gives a {data['resultType']}"
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def rules(self):
        return json.loads(get(f"{self.url}/api/v1/rules"))["data"]["groups"]


@contextlib.contextmanager
def prometheus(directory, config="global: {}\n"):
    """Run a Prometheus with its remote-write receiver on."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "prometheus.yml").write_text(config)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    ]
    with _running(command, f"{url}/-/ready", directory / "prometheus.log"):
        yield Prometheus(url)


@contextlib.contextmanager
def pushgateway(directory):
    """Run a Pushgateway; yields its URL."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}"]
    with _running(command, f"{url}/-/ready", directory / "pushgateway.log"):
        yield url
