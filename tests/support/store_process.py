"""A real store in a process of its own, and a plain client for it."""

import json
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import NamedTuple

from support import commands
from support.environment import environment

READY_LINE = "tracetail store: listening on "


class Answer(NamedTuple):
    status: int
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class StoreProcess:
    """`tracetail store` on a free port, with its state under a directory."""

    def __init__(self, state_dir: Path, **settings: object):
        self.state_dir = state_dir
        self.settings = settings
        self.process = None
        self.url = ""
        self.errors = state_dir / "store.stderr"

    @property
    def database(self) -> Path:
        return self.state_dir / "store" / "store.db"

    def environment(self):
        environ = environment(TRACETAIL_STATE_DIR=str(self.state_dir), TRACETAIL_STORE_LISTEN="127.0.0.1:0")
        for name, value in self.settings.items():
            environ[f"TRACETAIL_STORE_{name.upper()}"] = str(value)
        return environ

    def start(self):
        self.state_dir.mkdir(parents=True, exist_ok=True)
        with self.errors.open("ab") as errors:
            self.process = commands.popen(
                "store", env=self.environment(), stdout=subprocess.PIPE, stderr=errors, text=True
            )
        line = self.process.stdout.readline()
        if not line.startswith(READY_LINE):
            self.kill()
            raise AssertionError(f"the store did not start: {line!r} {self.errors.read_text()}")
        self.url = line.removeprefix(READY_LINE).strip()
        return self

    def stop(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            status = self._ended()
            assert status == 0, (status, self.errors.read_text())

    def kill(self):
        self.process.kill()
        self._ended()

    def _ended(self):
        status = self.process.wait(60)
        self.process.stdout.close()
        self.process = None
        return status

    def call(self, method, path, params=None, *, body=None, headers=None, timeout=60):
        query = "?" + urllib.parse.urlencode(params, doseq=True) if params else ""
        data = body.encode() if isinstance(body, str) else body
        request = urllib.request.Request(self.url + path + query, data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read())

    def push(self, labels, values, **extra):
        """Push values, which are [time_ns, line] or [time_ns, line, metadata]."""
        streams = [{"stream": labels, "values": [[str(v[0]), *v[1:]] for v in values]}]
        return self.push_json({"streams": streams}, **extra)

    def push_json(self, request, **extra):
        headers = {"Content-Type": "application/json"} | extra.pop("headers", {})
        return self.call("POST", "/loki/api/v1/push", body=json.dumps(request), headers=headers, **extra)

    def query_range(self, query, start, end, **params):
        params = {"query": query, "start": start, "end": end, "limit": 5000, "direction": "forward"} | params
        return self.call("GET", "/loki/api/v1/query_range", params)

    def entries(self, query, start, end, **params):
        """Return (time_ns, line, labels) in order of time."""
        answer = self.query_range(query, start, end, **params)
        assert answer.status == 200, answer
        result = answer.json()["data"]["result"]
        found = [(int(t), line, stream["stream"]) for stream in result for t, line in stream["values"]]
        return sorted(found, key=lambda entry: entry[0])

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process is not None:
            self.stop()
