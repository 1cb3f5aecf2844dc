"""Servers of several machines: who is a follower, by what it is ready, and what one sees of all of them."""

import json
import re
from pathlib import Path

import pytest

from tracetail.launcher import engines, params_input
from tracetail.launcher.engines.nodes import FOLLOWER, LEADER, Place, node_args, place_of, ready_when
from tracetail.launcher.params import ParametersError

LOGS = Path(__file__).parents[1] / "data" / "engine-logs"
VLLM = {"modelName": "m", "modelPath": "org/m", "engine": "vllm"}


@pytest.mark.parametrize(
    ("engine", "argv", "given", "place"),
    [
        ("vllm", "", (None, None), Place()),
        ("vllm", "--nnodes 2 --node-rank 0", (None, None), Place(2, 0, LEADER)),
        ("vllm", "--nnodes 2 --node-rank 1 --headless", (None, None), Place(2, 1, FOLLOWER)),
        (
            "vllm",
            "--data-parallel-size 4 --data-parallel-start-rank 2 --headless",
            (None, None),
            Place(role=FOLLOWER),
        ),
        ("vllm", "--data-parallel-size 4 --data-parallel-rank 1", (4, 1), Place(4, 1, LEADER)),  # each has an API
        ("vllm", "", (2, 1), Place(2, 1, FOLLOWER)),
        ("sglang", "--nnodes=4 --node-rank=3", (None, None), Place(4, 3, FOLLOWER)),
        ("custom", "ray start --block --address=10.0.0.1:6379", (2, 1), Place(2, 1, FOLLOWER)),
        ("custom", "ray start --block --head", (2, 0), Place(2, 0, LEADER)),
        ("custom", "serve.py", (1, 0), Place(1, 0)),
    ],
)
def test_who_is_a_follower(engine, argv, given, place):
    assert place_of(engine, argv.split(), *given) == place


@pytest.mark.parametrize(
    ("log", "argv", "after"),
    [
        ("dp-headless-node1.log", "--headless --data-parallel-size 2", "KV cache size"),
        ("nnodes-node1.log", "--headless --nnodes 2 --node-rank 1", "Starting to load model"),
    ],
)
def test_a_follower_is_ready_by_a_line_that_it_really_prints(log, argv, after):
    pattern = re.compile(ready_when("vllm", argv.split()).removeprefix("log:"))
    lines = (LOGS / log).read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if pattern.search(line))
    assert any(after in line for line in lines[:at])


@pytest.mark.parametrize(
    ("engine", "args", "rank", "added"),
    [
        ("vllm", [], 0, ["--nnodes", "2", "--node-rank", "0"]),
        ("vllm", [], 1, ["--nnodes", "2", "--node-rank", "1", "--headless"]),
        ("vllm", ["--data-parallel-address", "10.0.0.1"], 1, []),
        ("sglang", ["--dist-init-addr", "10.0.0.1:5000"], 1, ["--nnodes", "2", "--node-rank", "1"]),
        ("sglang", ["--nnodes", "2", "--node-rank", "1"], 1, []),
        ("custom", [], 1, []),
    ],
)
def test_an_engine_is_told_its_place_unless_its_arguments_say_it(engine, args, rank, added):
    assert node_args(engine, args, 2, rank) == added


def test_a_follower_has_no_port_and_nothing_asks_it():
    given = {**VLLM, "nodes": 2, "nodeRank": 1, "port": 8000, "warmup": True, "livenessProbe": "token"}
    params = params_input.from_object({**given, "smoke": {"prompt": "1", "pattern": "1"}})
    assert (params.port, params.warmup, params.smoke, params.liveness_probe) == (None, False, None, "health")
    assert params.ready_when.startswith("log:")
    argv = engines.load("vllm").command(params).argv
    assert "--port" not in argv
    assert "--headless" in argv
    # Only the command knows --headless: the module of the API server takes it, and serves (seen with vLLM 0.32).
    assert argv[:4] == ["python3", "-m", "vllm.entrypoints.cli.main", "serve"]
    leader = params_input.from_object({**VLLM, "nodes": 2, "nodeRank": 0, "port": 8000})
    assert (leader.port, leader.ready_when) == (8000, "http")
    assert leader.ready_timeout_sec == params.ready_timeout_sec > 30 * 60


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"nodes": 2, "nodeRank": 2}, "nodeRank is 2: 2 nodes are numbered from 0"),
        ({"nodes": 2, "nodeRank": 1, "readyWhen": "http"}, "a follower has no API"),
        ({"nodeRank": 10**20}, "nodeRank is 100000000000000000000: expected a whole number <= 10000"),
    ],
)
def test_what_cannot_be_is_refused(more, message):
    with pytest.raises(ParametersError, match=message):
        params_input.from_object({**VLLM, **more})


def test_the_status_of_a_trace_names_each_machine_and_the_worst_decides(world, free_port):
    port = free_port()
    leading = {"nodes": 3, "nodeRank": 0, "port": port, "readyWhen": "http", "traceId": "t"}
    assert world.start([["serve", port, ["m"]], ["stay"]], **leading).status == 0
    followers = [
        world.start([["text", "ready now\n"], *then], nodes=3, nodeRank=rank, traceId="t")
        for rank, then in ((1, [["stay"]]), (2, [["wait", str(world.root / "go")], ["exit", 1]]))
    ]
    assert [one.status for one in followers] == [0, 0]
    assert [one.result["service"] for one in followers] == ["test/m#1", "test/m#2"]
    assert world.run("status", "--trace-id", "t").status == 0
    (world.root / "go").touch()
    world.ended(world.launch(followers[1].result))
    status = world.run("status", "--trace-id", "t")
    assert status.status == 3
    worst, *others = status.result["launches"]
    assert (worst["role"], worst["nodeRank"], worst["state"]) == ("follower", 2, "crashed")
    assert {(one["role"], one["nodeRank"], one["state"]) for one in others} == {
        ("leader", 0, "ready"),
        ("follower", 1, "ready"),
    }
    assert f", follower 1 on {worst['host']})" in status.stdout
    started = world.events(world.launch(followers[0].result))[0]
    assert {name: started.fields[name] for name in ("nodes", "nodeRank", "role")} == {
        "nodes": "3",
        "nodeRank": "1",
        "role": "follower",
    }
    printed = world.run("status", "--trace-id", "t", "--json")
    assert json.loads(printed.stdout)["nodeRank"] == 2, printed.stderr


def test_a_follower_whose_engine_was_killed_has_crashed_although_it_exits_with_0(world, tmp_path):
    # vLLM 0.32, `vllm serve --headless`, after SIGKILL to its engine: it says no more than this, and exits with 0.
    log = LOGS / "dp-headless-node1-engine-killed.log"
    killed = tmp_path / "killed"
    steps = [["text", "ready now\n"], ["wait", str(killed)], ["text", log.read_text()], ["exit", 0]]
    started = world.start(steps, nodes=2, nodeRank=1)
    assert started.status == 0
    killed.touch()
    record = world.ended(world.launch(started.result))
    assert (record["state"], record["exit"]["causeCode"]) == ("crashed", "engine_died")
    assert "Parent process exited" in record["exit"]["evidence"][0]
