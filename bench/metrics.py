"""Measures the metrics of the servers: one collection over many launches, and the bytes of a remote-write sample.

python bench/metrics.py [--launches 50] [--ended 1500] [--collections 50]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry, generate_latest

from tracetail.agent.metrics.remote_write import encode, take_samples
from tracetail.agent.metrics.server_collector import ServerMetrics
from tracetail.contract.processes import process_ref
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.contract.state import launches_dir

_SERVER = "import subprocess, sys; subprocess.Popen(['sleep', '600']); subprocess.run(['sleep', '600'])"


def main() -> None:
    """Start the processes, collect, and print the cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--launches", type=int, default=50)
    parser.add_argument("--ended", type=int, default=1500, help="launches that ended long ago (%(default)s)")
    parser.add_argument("--collections", type=int, default=50)
    options = parser.parse_args()
    servers = [
        subprocess.Popen([sys.executable, "-c", _SERVER], start_new_session=True) for _ in range(options.launches)
    ]
    try:
        with tempfile.TemporaryDirectory() as directory:
            _measure(Path(directory), servers, options.ended, options.collections)
    finally:
        for server in servers:
            os.killpg(server.pid, 9)
            server.wait()


def _write(directory: Path, number: int, **more: Any) -> None:
    launch = LaunchDir(launches_dir(directory) / f"20261122T211210-{number:06x}")
    launch.path.mkdir(parents=True)
    record = {
        "schema": 1,
        "launchId": launch.launch_id,
        "traceId": f"trace-{number}",
        "instanceId": f"{number}",
        "env": "test",
        "modelName": "Qwen/Qwen2-7B",
        "engine": "vllm",
        "host": "machine",
        "port": 8000 + number,
        "startedAt": "2026-11-22T21:12:10+00:00",
        **more,
    }
    with LaunchLock(launch) as lock:
        lock.write(cast("Record", record))


def _measure(state: Path, servers: list[subprocess.Popen[bytes]], ended: int, collections: int) -> None:
    for number, server in enumerate(servers):
        _write(state, number, state="ready", server=process_ref(server.pid))
    for number in range(ended):
        _write(state, len(servers) + number, state="stopped", endedAt="2020-01-01T00:00:00+00:00")
    registry = CollectorRegistry()
    registry.register(ServerMetrics(lambda: [state], keep_ended_seconds=600, now=time.time))
    page = generate_latest(registry)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    began = time.perf_counter()
    for _ in range(collections):
        generate_latest(registry)
    took = (time.perf_counter() - began) / collections
    usage = resource.getrusage(resource.RUSAGE_SELF)
    samples = take_samples(registry, {"job": "tracetail", "host": "machine"}, int(time.time() * 1000))
    body = encode(samples)
    cpu_ms = (usage.ru_utime + usage.ru_stime - cpu) / collections * 1000
    print(f"launches              {len(servers)} with {3 * len(servers)} processes, and {ended} that ended")
    print(f"one collection        {took * 1000:.1f} ms, {cpu_ms:.1f} ms of CPU")
    print(f"page                  {len(page) / 1024:.0f} KiB, {len(samples)} samples")
    print(f"remote write          {len(body)} bytes, {len(body) / len(samples):.1f} a sample")


if __name__ == "__main__":
    main()
