"""Real Prometheus and Pushgateway processes for tests."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from support.environment import free_port
from support.waiting import wait_for


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
            with contextlib.suppress(OSError):
                return get(ready_url) is not None
            return False

        wait_for(ready, f"{command[0]} ready: {log}")
        yield process
    finally:
        process.terminate()
        process.wait(60)


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
    # In memory: Debian's keeps what was pushed in one file for all, and the next one begins with it.
    command = ["prometheus-pushgateway", f"--web.listen-address=127.0.0.1:{port}", "--persistence.file="]
    with _running(command, f"{url}/-/ready", directory / "pushgateway.log"):
        yield url
