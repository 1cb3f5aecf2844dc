"""A machine with `tracetail up` and launches that failed as real ones did, or that run: for pictures and tests."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.environment import environment, free_port

_ROOT = Path(__file__).parents[2]
_CASES = _ROOT / "tests" / "data" / "field-starts"
_RECORDED = _ROOT / "tests" / "data" / "engine-logs"
_SAMPLE = _ROOT / "examples" / "sample_server.py"
_VLLM = """#!{python}
# Stands for a Python with vLLM: prints a recorded failure where its argument is given, else runs the sample server.
import os, sys
if {trigger!r} in sys.argv:
    sys.stdout.write(open({log!r}).read())
    sys.exit(1)
known = ("--port", "--host", "--model", "--served-model-name")
pairs = [pair for pair in zip(sys.argv, sys.argv[1:]) if pair[0] in known]
os.execv({python!r}, [{python!r}, {sample!r}, *(word for pair in pairs for word in pair)])
"""


class Stage:
    """A state directory, and the processes of it."""

    def __init__(self, state: Path, **variables: str) -> None:
        self._state = state
        self._port = 0
        ports = {part: free_port() for part in ("STORE", "AGENT", "PANEL")}
        self.panel = f"http://127.0.0.1:{ports['PANEL']}"
        self.store = f"http://127.0.0.1:{ports['STORE']}"
        listen = {f"TRACETAIL_{part}_LISTEN": f"127.0.0.1:{port}" for part, port in ports.items()}
        self.environ = environment(TRACETAIL_STATE_DIR=str(state), HOME=str(state), **listen, **variables)
        self._up: subprocess.Popen[str] | None = None

    def run(self, *words: str, host: str = "") -> str:
        """Run a command of tracetail and return what it printed, whatever its exit status.

        host: the name of the machine that it is to see in place of this one's; only root can give one.
        """
        command = [sys.executable, "-m", "tracetail", *words]
        if host:
            command = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', host, *command]
        done = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=120, check=False)
        return done.stdout

    def start(self, *, on_host: str = "", **params: Any) -> dict[str, Any]:
        """Start a server, on a machine of this name (see run), and return its result."""
        printed = self.run("start", "--params", json.dumps(params), host=on_host)
        result = json.loads(printed.rstrip().rpartition("TRACETAIL_RESULT ")[2])
        assert isinstance(result, dict)
        return result

    def fail(self, case: str, model: str = "", **params: Any) -> dict[str, Any]:
        """Start what prints the log of a recorded failure (tests/data/field-starts) and ends as it did."""
        ended = json.loads((_CASES / case / "expected.json").read_text())["exit"]
        last = f"kill -{ended} $$" if isinstance(ended, str) else f"exit {ended}"
        script = f"cat '{_CASES / case / 'log'}'; sleep 0.3; {last}"
        return self.start(modelName=model or case, command=["sh", "-c", script], readyWhen="log:never", **params)

    def vllm(self, model: str, case: str, trigger: str, *args: str) -> dict[str, Any]:
        """Start what stands for vLLM: with the argument `trigger` it fails as recorded, without it it serves."""
        python = self._state / "vllm-python"
        log = str(_CASES / case / "log")
        python.write_text(_VLLM.format(python=sys.executable, trigger=trigger, log=log, sample=str(_SAMPLE)))
        python.chmod(0o755)
        self._port = self._port or free_port()
        return self.start(
            engine="vllm", modelName=model, modelPath=model, pythonBin=str(python), port=self._port, args=list(args)
        )

    def two_hosts(self, trace_id: str) -> None:
        """Start what prints the recorded logs of vLLM on two machines that serve one model, and stays."""
        for rank, host, log, ready in (
            (1, "node-b", "dp-headless-node1", "init engine"),
            (0, "node-a", "dp-headless-head", "startup complete"),
        ):
            path = _RECORDED / f"{log}.log"
            lines = f"while IFS= read -r line; do printf '%s\\n' \"$line\"; sleep 0.02; done < '{path}'"
            self.start(
                on_host=host,
                modelName="Qwen/Qwen3-235B-A22B",
                traceId=trace_id,
                nodes=2,
                nodeRank=rank,
                command=["sh", "-c", f"{lines}; exec sleep 3600"],
                readyWhen=f"log:{ready}",
            )

    def serve(self, model: str, **params: Any) -> dict[str, Any]:
        """Start the sample server."""
        command = [sys.executable, str(_SAMPLE), "--port", "{port}", "--model", "{modelName}"]
        return self.start(modelName=model, command=command, port=free_port(), host="127.0.0.1", **params)

    def up(self) -> None:
        """Start store, agent and panel."""
        command = [sys.executable, "-m", "tracetail", "up"]
        self._up = subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE, text=True)
        assert self._up.stdout is not None
        printed = []
        for line in self._up.stdout:
            printed.append(line)
            if line.startswith("Ready."):
                return
        raise RuntimeError(f"tracetail up ended: {''.join(printed)}")

    def down(self) -> None:
        """Stop every server, then store, agent and panel."""
        for launch in json.loads(self.run("ps", "--json")):
            self.run("stop", "--launch", launch["launchId"])
        if self._up is not None:
            self._up.terminate()
            self._up.communicate(timeout=60)


@contextlib.contextmanager
def stage(**variables: str) -> Iterator[Stage]:
    """Yield a stage whose parts run, with these variables."""
    with tempfile.TemporaryDirectory(prefix="tracetail-stage-") as state:
        made = Stage(Path(state), **variables)
        try:
            made.up()
            yield made
        finally:
            made.down()
