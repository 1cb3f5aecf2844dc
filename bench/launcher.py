"""What the launcher costs: its own time before the server runs, the keeper's memory, the bytes it passes.

    python bench/launcher.py [--megabytes 300]

Prints one JSON object. A server that prints as fast as it can (cat) is launched; the time is that from its start to
the moment when its last line is in the log.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TRACETAIL = [sys.executable, "-m", "tracetail"]
LOG = Path(__file__).parents[1] / "tests" / "data" / "vllm-logs" / "request-logging.log"
STARTS = 10


def tracetail(state: Path, *words: str) -> dict[str, Any]:
    environ = os.environ | {"TRACETAIL_STATE_DIR": str(state)}
    done = subprocess.run([*TRACETAIL, *words], env=environ, capture_output=True, text=True, check=False)
    last = done.stdout.rstrip().rpartition("\n")[2]
    if not last.startswith("TRACETAIL_RESULT "):
        sys.exit(done.stdout + done.stderr)
    result: dict[str, Any] = json.loads(last.removeprefix("TRACETAIL_RESULT "))
    return result


def record_of(state: Path, result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((state / "launches" / result["launchId"] / "record.json").read_bytes())
    return found


def own_milliseconds(state: Path) -> list[float]:
    """Return, for some starts, the time from `tracetail start` to the first instruction of the server."""
    stamp = state / "stamp"
    code = f"import time,pathlib; pathlib.Path({str(stamp)!r}).write_text(str(time.time_ns())); time.sleep(600)"
    params = {"modelName": "b", "command": [sys.executable, "-I", "-S", "-c", code], "readyWhen": "alive"}
    bare = ["-I", "-S", "-c", f"import time,pathlib; pathlib.Path({str(stamp)!r}).write_text(str(time.time_ns()))"]
    taken = []
    for _ in range(STARTS):
        begun = time.time_ns()
        tracetail(state, "start", "--params", json.dumps(params))
        launched = (int(stamp.read_text()) - begun) / 1e6
        tracetail(state, "stop", "--model-name", "b")
        begun = time.time_ns()
        subprocess.run([sys.executable, *bare], check=True)
        taken.append(launched - (int(stamp.read_text()) - begun) / 1e6)
    return taken


def passed(state: Path, data: Path, *, watching: bool) -> tuple[float, int]:
    """Return MB/s and the keeper's peak in KiB for a server that prints this file."""
    go, last = state / "go", "the last line of the bench"
    script = f"echo ready now; while [ ! -e {go} ]; do sleep 0.01; done; cat {data}; echo {last}; exec sleep 600"
    if watching:
        script = f"cat {data}; echo {last}; echo ready now; exec sleep 600"
    ready = "log:^ready now$"
    params = {"modelName": "b", "command": ["sh", "-c", script], "readyWhen": ready, "readyTimeoutSec": 600}
    begun = time.monotonic()
    result = tracetail(state, "start", "--params", json.dumps(params | {"maxLogMB": 2000}))
    if not watching:
        begun = time.monotonic()
        go.touch()
    deadline = begun + 600
    while time.monotonic() < deadline:
        with Path(result["logFile"]).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 1500))
            if f"] {last}\n".encode() in log.read():
                break
        time.sleep(0.02)
    seconds = time.monotonic() - begun
    keeper = record_of(state, result)["keeper"]["pid"]
    status = Path(f"/proc/{keeper}/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    tracetail(state, "stop", "--model-name", "b")
    Path(result["logFile"]).unlink()
    go.unlink(missing_ok=True)
    return data.stat().st_size / 1e6 / seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tracetail-bench-") as directory:
        state = Path(directory)
        data = state / "data"
        block = LOG.read_bytes().replace(b"\r\n", b"\n")
        with data.open("wb") as file:
            for _ in range(arguments.megabytes * 1_000_000 // len(block)):
                file.write(block)
        own = own_milliseconds(state)
        watching, peak_watching = passed(state, data, watching=True)
        ready, peak_ready = passed(state, data, watching=False)
        found = {
            "own_ms_median": round(statistics.median(own), 1),
            "own_ms_max": round(max(own), 1),
            "watching_mb_per_s": round(watching, 1),
            "ready_mb_per_s": round(ready, 1),
            "keeper_peak_kib": max(peak_watching, peak_ready),
            "bytes": data.stat().st_size,
            "bytes_per_line": round(len(block) / block.count(b"\n"), 1),
            "cores": os.cpu_count(),
            "python": sys.version.split()[0],
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
