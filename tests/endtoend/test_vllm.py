"""A real vLLM on the CPU: ready, ten completions, engine killed, and the truth about it in the store."""

import json
import os
import re
import signal
import urllib.request
from pathlib import Path

import pytest
from support import real_vllm
from support.environment import free_port
from support.machine import processes_of, put_together
from support.waiting import wait_for

from tracetail.contract.logline import parse_line

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]
READY_SECONDS = 900
COMPLETIONS = 10


def complete(port):
    body = {"model": "tiny-llama", "prompt": "hello", "max_tokens": 8}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


def engine_pid(launch_id):
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_of(launch_id)}
    return next(pid for pid, title in titles.items() if b"EngineCore" in title)


def lines_of_segments(record):
    found = []
    for segment in record["segments"]:
        for raw in Path(segment).read_bytes().split(b"\n")[:-1]:
            line = parse_line(raw)
            assert line is not None, raw
            found.append(line)
    return found


def test_engine_killed_and_every_line_cause_and_state_are_found(machine):
    python, model = real_vllm.environment()
    port = free_port()
    started = machine.tracetail(
        "start",
        seconds=READY_SECONDS + 60,
        modelName="tiny-llama",
        modelPath=str(model),
        servedName="tiny-llama",
        engine="vllm",
        pythonBin=str(python),
        port=port,
        host="127.0.0.1",
        args=real_vllm.ARGUMENTS,
        environ=real_vllm.ENVIRON,
        readyTimeoutSec=READY_SECONDS,
        traceId="trace-vllm",
    )
    print(started.stdout)
    assert started.returncode == 0, started.stdout + started.stderr
    for _ in range(COMPLETIONS):
        assert complete(port)["choices"]
    (launch,) = machine.launches()
    assert len(processes_of(launch.launch_id)) >= 2

    os.kill(engine_pid(launch.launch_id), signal.SIGKILL)
    wait_for(lambda: launch.read()["state"] == "crashed", "the state crashed", 120)
    record = launch.read()
    print(json.dumps(record["exit"], indent=1))
    assert record["exit"]["code"] == 0, "the server itself exits 0 after its engine died"
    assert re.search(r"engine", record["exit"]["cause"], re.IGNORECASE)
    assert record["exit"]["evidence"]
    assert not processes_of(launch.launch_id)

    exited = machine.wait_for_event("trace-vllm", "exited")
    assert "state=crashed" in exited
    in_log = lines_of_segments(record)
    found = machine.entries("trace-vllm")
    shipped = [(entry.time_ns, entry.line) for entry in found if entry.line.split(" ")[0] != "receipt"]
    printed = [(line.time_ns, line.text.decode("utf-8", "replace")) for line in in_log]
    assert shipped == printed, "every line of the log is in the store, once, in order, with its time"
    assert put_together(found).count('"POST /v1/completions HTTP/1.1" 200 OK') == COMPLETIONS
    print(f"{len(printed)} lines of the log, {len(shipped)} in the store; {exited}")
