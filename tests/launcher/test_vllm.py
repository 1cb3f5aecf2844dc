"""A real vLLM on the CPU: its port trap while it loads, its end by a crash, and a stop that leaves nothing."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from support import real_vllm
from support.known_causes import RECORDED

from tracetail.launcher.engines.causes import tables
from tracetail.launcher.machine import ports

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]


def test_a_second_start_on_the_port_is_refused_while_the_first_loads(world, free_port, wait_until, tmp_path):
    python, model = real_vllm.environment()
    port = free_port()
    params = {
        "modelName": "tiny-llama",
        "modelPath": str(model),
        "pythonBin": str(python),
        "port": port,
        "args": real_vllm.ARGUMENTS,
        "environ": real_vllm.ENVIRON,
        "warmup": True,
    }
    with world.popen("start", "--params", json.dumps(params)) as launcher:
        holder = wait_until(lambda: ports.holder(port), seconds=300, what="vLLM's bind")
        print(holder.describe())
        assert not holder.listening
        refused = world.run("start", "--params", json.dumps(params | {"modelName": "other"}))
        print(refused.result["cause"])
        assert (refused.status, "claimed by launch" in refused.result["cause"]) == (12, True)
        # Another state directory has no claim on the port, but the port is held.
        elsewhere = {"TRACETAIL_STATE_DIR": str(tmp_path / "elsewhere")}
        refused = world.run("start", "--params", json.dumps(params | {"modelName": "other"}), environ=elsewhere)
        print(refused.result["cause"])
        assert (refused.status, "does not listen yet" in refused.result["cause"]) == (12, True)
        printed = launcher.stdout.read()
        assert launcher.wait(900) == 0, printed
    print(printed)
    launch = world.launches()[0]
    assert [phase["name"] for phase in launch.read()["phases"]][-1] == "startup complete"
    assert len(world.members(launch)) >= 3  # the API server, the engine, a worker
    stopped = world.run("stop", "--model-name", "tiny-llama")
    print(stopped.stdout)
    assert stopped.status == 0
    assert not world.members(launch)
    assert ports.holder(port) is None


def test_a_killed_engine_is_a_crash_with_its_cause(world, free_port, wait_until):
    python, model = real_vllm.environment()
    port = free_port()
    params = {
        "modelName": "tiny-llama",
        "modelPath": str(model),
        "pythonBin": str(python),
        "port": port,
        "args": real_vllm.ARGUMENTS,
        "environ": real_vllm.ENVIRON,
    }
    started = world.run("start", "--params", json.dumps(params), timeout=900)
    assert started.status == 0, started.stdout
    launch = world.launch(started.result)
    engine = next(
        process
        for process in world.members(launch)
        if Path(f"/proc/{process.pid}/comm").read_text()[:10] == "VLLM::Engi"
    )
    os.kill(engine.pid, 9)
    record = world.ended(launch)
    print(json.dumps(record["exit"]))
    assert (record["state"], record["exit"]["cause"]) == ("crashed", "the engine process died")
    assert not world.members(launch)
    assert ports.holder(port) is None
    assert world.run("status", "--model-name", "tiny-llama").status == 3


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
            for cause in tables.all_tables()[recorded.table]
            for line in cause.lines
            if cause.code == recorded.code and line.anchor.decode() in recorded.text
        ]
        for cited in CITED.finditer(recorded.source):
            path = stdlib / cited["file"] if cited["stdlib"] else site / cited["site"] / cited["file"]
            lines = path.read_text().splitlines()
            number = int(cited["line"])
            around = "\n".join(lines[max(0, number - 6) : number + 6])
            text = re.sub(r"[\"']\s*\n\s*f?[\"']", "", around)  # as one text, where the source breaks it
            wanted = [PRINTED_ELSEWHERE.get(anchor, anchor) for anchor in anchors]
            assert any(one in text for one in wanted), (recorded.source, text)
            checked += 1
    assert checked >= 25
