"""What the launcher costs: a start's own time, `ps` with many launches, the keeper, the diagnosis of a failed start.

    python bench/launcher.py [--megabytes 300] [--launches 2000] [--only start,ps,keeper,diagnosis]

Prints one JSON object. Times are given twice: by the clock, and in CPU time (user and system), which a busy machine
changes less. A server that prints as fast as it can (cat) is launched; its time is that from its start to the moment
when its last line is in the log.
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
from typing import Any, NamedTuple

from tracetail.contract.record import LaunchDir, LaunchLock
from tracetail.launcher import engines
from tracetail.launcher.keeper import diagnosis

TRACETAIL = [sys.executable, "-m", "tracetail"]
LOG = Path(__file__).parents[1] / "tests" / "data" / "vllm-logs" / "request-logging.log"
STARTS = 10
LISTINGS = 5


class Cost(NamedTuple):
    """What a command took, in milliseconds."""

    clock: float
    cpu: float
    """Of the process alone, not of what it has started and left running."""


def timed(command: list[str], state: Path) -> tuple[Cost, str]:
    """Run a command that has to succeed; return what it took, and its output."""
    environ = {**os.environ, "TRACETAIL_STATE_DIR": str(state)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled
    begun = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        cost = Cost((time.monotonic() - begun) * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3)
        output.seek(0)
        text = output.read()
    if child.returncode:
        sys.exit(text)
    return cost, text


def tracetail(state: Path, *words: str) -> tuple[Cost, dict[str, Any]]:
    """Run a command that prints a result; return what it took, and the result."""
    cost, text = timed([*TRACETAIL, *words], state)
    result: dict[str, Any] = json.loads(text.rstrip().rpartition("\n")[2].removeprefix("TRACETAIL_RESULT "))
    return cost, result


def keeper_of(state: Path, result: dict[str, Any]) -> int:
    """Return the pid of a launch's keeper."""
    record = json.loads((state / "launches" / result["launchId"] / "record.json").read_bytes())
    return int(record["keeper"]["pid"])


def cpu_ms(pid: int) -> float:
    """Return the CPU time of all threads of a process, from the scheduler's nanoseconds, not from its ticks."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def start_costs(state: Path) -> list[Cost]:
    """Return, for some starts, the time from `tracetail start` to the first instruction of the server.

    CPU time is that of the whole command, and of the keeper until the command has returned.
    """
    stamp = state / "stamp"
    code = f"import time,pathlib; pathlib.Path({str(stamp)!r}).write_text(str(time.time_ns()))"
    bare = [sys.executable, "-I", "-S", "-c"]
    server = [*bare, f"{code}; print('up', flush=True); time.sleep(600)"]
    params = json.dumps({"modelName": "b", "command": server, "readyWhen": "log:^up$"})
    taken = []
    for _ in range(STARTS):
        begun = time.time_ns()
        cost, result = tracetail(state, "start", "--params", params)
        cpu = cost.cpu + cpu_ms(keeper_of(state, result))
        launched = (int(stamp.read_text()) - begun) / 1e6
        tracetail(state, "stop", "--model-name", "b")
        begun = time.time_ns()
        subprocess.run([*bare, code], check=True)
        taken.append(Cost(launched - (int(stamp.read_text()) - begun) / 1e6, cpu))
    return taken


def listing_costs(state: Path, count: int) -> list[Cost]:
    """Return what `tracetail ps` takes, some times, with this many launches on record that have ended."""
    params = {"modelName": "b", "command": ["sleep", "600"], "readyWhen": "alive"}
    _, result = tracetail(state, "start", "--params", json.dumps(params))
    tracetail(state, "stop", "--model-name", "b")
    ended = LaunchDir(state / "launches" / result["launchId"]).read()
    for number in range(count):
        launch = LaunchDir(state / "launches" / f"20261122T211210-{number:06x}")
        launch.path.mkdir()
        with LaunchLock(launch) as lock:
            lock.write({**ended, "launchId": launch.launch_id})
    return [timed([*TRACETAIL, "ps"], state)[0] for _ in range(LISTINGS)]


class Passed(NamedTuple):
    """How a keeper passed on what a server printed."""

    mb_per_s: float
    mb_per_cpu_s: float
    peak_kib: int


def passed(state: Path, data: Path, *, watching: bool) -> Passed:
    """Launch a server that prints this file, before or after it is ready."""
    go, last = state / "go", "the last line of the bench"
    script = f"echo ready now; while [ ! -e {go} ]; do sleep 0.01; done; cat {data}; echo {last}; exec sleep 600"
    if watching:
        script = f"cat {data}; echo {last}; echo ready now; exec sleep 600"
    ready = "log:^ready now$"
    params = {"modelName": "b", "command": ["sh", "-c", script], "readyWhen": ready, "readyTimeoutSec": 600}
    begun = time.monotonic()
    _, result = tracetail(state, "start", "--params", json.dumps(params | {"maxLogMB": 2000}))
    keeper = keeper_of(state, result)
    before = 0.0
    if not watching:
        begun, before = time.monotonic(), cpu_ms(keeper)
        go.touch()
    deadline = begun + 600
    while time.monotonic() < deadline:
        with Path(result["logFile"]).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 1500))
            if f"] {last}\n".encode() in log.read():
                break
        time.sleep(0.02)
    seconds = time.monotonic() - begun
    cpu = (cpu_ms(keeper) - before) / 1e3
    status = Path(f"/proc/{keeper}/status").read_text()
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    tracetail(state, "stop", "--model-name", "b")
    Path(result["logFile"]).unlink()
    go.unlink(missing_ok=True)
    megabytes = data.stat().st_size / 1e6
    return Passed(megabytes / seconds, megabytes / cpu, peak)


def keeper_costs(state: Path, megabytes: int) -> dict[str, Any]:
    """Return what a keeper passes on of this much output, and its memory."""
    data = state / "data"
    block = LOG.read_bytes().replace(b"\r\n", b"\n")
    with data.open("wb") as file:
        for _ in range(megabytes * 1_000_000 // len(block)):
            file.write(block)
    watching = passed(state, data, watching=True)
    ready = passed(state, data, watching=False)
    return {
        "watching_mb_per_s": round(watching.mb_per_s, 1),
        "watching_mb_per_cpu_s": round(watching.mb_per_cpu_s, 1),
        "ready_mb_per_s": round(ready.mb_per_s, 1),
        "ready_mb_per_cpu_s": round(ready.mb_per_cpu_s, 1),
        "keeper_peak_kib": max(watching.peak_kib, ready.peak_kib),
        "bytes": data.stat().st_size,
        "bytes_per_line": round(len(block) / block.count(b"\n"), 1),
    }


def diagnosis_costs() -> dict[str, float]:
    """Return the CPU seconds of finding no cause in as much of a log as is searched, of short lines."""
    line = b"line %07d of a server that prints a lot of text"
    lines = [line % number for number in range(diagnosis.READ_MAX_BYTES // len(line))]
    begun = time.process_time()
    assert diagnosis.diagnose(engines.load("custom"), lines) is None
    return {"diagnosis_cpu_s": round(time.process_time() - begun, 2)}


def summary(name: str, costs: list[Cost]) -> dict[str, Any]:
    """Return median and worst of some costs, by the clock and in CPU time."""
    found = {}
    for kind, values in (("", [cost.clock for cost in costs]), ("cpu_", [cost.cpu for cost in costs])):
        found[f"{name}_{kind}ms_median"] = round(statistics.median(values), 1)
        found[f"{name}_{kind}ms_max"] = round(max(values), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--launches", type=int, default=2000)
    parser.add_argument("--only", default="start,ps,keeper,diagnosis", help="which parts, with commas")
    arguments = parser.parse_args()
    wanted = set(arguments.only.split(","))
    found: dict[str, Any] = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
    with tempfile.TemporaryDirectory(prefix="tracetail-bench-") as directory:
        if "start" in wanted:
            found |= summary("start", start_costs(Path(directory)))
        if "keeper" in wanted:
            found |= keeper_costs(Path(directory), arguments.megabytes)
        if "ps" in wanted:
            found |= summary("ps", listing_costs(Path(directory), arguments.launches))
    if "diagnosis" in wanted:
        found |= diagnosis_costs()
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
