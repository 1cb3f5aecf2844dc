"""A real vLLM on the CPU: its port trap while it loads, and a stop that leaves nothing."""

import json

import pytest
from support import real_vllm

from launcher import ports

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
        # Somebody who cannot see our claims sees the port all the same.
        elsewhere = {"TRACETAIL_STATE_DIR": str(tmp_path / "elsewhere")}
        refused = world.run("start", "--params", json.dumps(params | {"modelName": "other"}), environ=elsewhere)
        print(refused.result["cause"])
        assert (refused.status, "does not listen yet" in refused.result["cause"]) == (12, True)
        told = launcher.stdout.read()
        assert launcher.wait(900) == 0, told
    print(told)
    launch = world.launches()[0]
    assert [phase["name"] for phase in launch.read()["phases"]][-1] == "startup complete"
    assert len(world.members(launch)) >= 3  # the API server, the engine, a worker
    stopped = world.run("stop", "--model-name", "tiny-llama")
    print(stopped.stdout)
    assert stopped.status == 0
    assert not world.members(launch)
    assert ports.holder(port) is None
