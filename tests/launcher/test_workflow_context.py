"""The context of a scheduler's workflow as parameters. Its forms are those of powerjob-server-core 5.1.1."""

import json
from pathlib import Path

import pytest

from tracetail.launcher.params import ParametersError
from tracetail.launcher.workflow_context import with_context

NODE = {"modelName": "m", "port": 8000}
RECORDED = json.loads((Path(__file__).parents[1] / "data" / "powerjob" / "workflow.json").read_text())


@pytest.mark.parametrize(
    ("context", "found"),
    [
        ({}, {}),
        (None, {}),
        ({"traceId": "t-1", "env": "prod"}, {"traceId": "t-1", "env": "prod"}),
        ({"trace_id": "t-1"}, {"traceId": "t-1"}),
        ({"traceId": 42, "instanceId": 7}, {"traceId": "42", "instanceId": "7"}),
        # what the steps before have added, of tracetail and of others
        ({"launchId": "x", "url": "http://a:1", "state": "ready", "cause": "", "whatever": "{"}, {}),
        ({"traceId": "", "modelPath": None}, {}),
        # once a step has added something, all values are texts
        ({"port": "8001", "modelName": "n"}, {"port": 8001, "modelName": "n"}),
        ({"environ": '{"A":"1"}', "args": '["--x"]'}, {"environ": {"A": "1"}, "args": ["--x"]}),
        ({"warmup": "true", "readyTimeoutSec": "60"}, {"warmup": True, "readyTimeoutSec": 60}),
        ({"devices": "0,1"}, {"devices": ["0", "1"]}),
        ({"env": '{"A":"1"}'}, {"environ": {"A": "1"}}),
        ({"modelName": "123"}, {"modelName": "123"}),
        # the text with which the workflow was started
        ({"initParams": '{"traceId":"t-2"}'}, {"traceId": "t-2"}),
        ({"initParams": '{"traceId":"t-2"}', "traceId": "t-3"}, {"traceId": "t-3"}),
        ({"initParams": "just a text"}, {}),
        ({"initParams": "[1]"}, {}),
        ({"initParams": None}, {}),
        # each step has its own action
        ({"action": "stop"}, {}),
    ],
)
def test_the_parameters_of_a_context_come_on_top_and_its_other_keys_are_ignored(context, found):
    given = {"model_name": "m", "port": 8000, "action": "smoke", "context": context}
    expected = {**NODE, "action": "smoke", **found}
    assert {"modelName": "m", **{k: v for k, v in with_context(given).items() if k != "model_name"}} == expected


@pytest.mark.parametrize("node", RECORDED["nodes"], ids=lambda node: node["nodeName"])
def test_each_node_of_a_real_workflow_gets_its_trace_and_environment(node):
    own = json.loads(node["nodeParams"])
    given = {**own, "context": json.loads(node["instanceParams"])}
    assert with_context(given) == {**own, "traceId": "wf-trace-1", "env": "dev"}


def test_a_step_without_an_action_takes_that_of_the_context():
    assert with_context({"context": {"action": "stop"}}) == {"action": "stop"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"context": "text"}, "context: expected an object"),
        ({"context": {"env": "moon"}}, "context: env is 'moon'; expected one of dev, test, prod"),
        ({"modelNmae": "m", "context": {}}, "unknown parameter 'modelNmae'; did you mean modelName?"),
    ],
)
def test_a_context_that_cannot_be_used_is_named(given, message):
    with pytest.raises(ParametersError) as error:
        with_context(given)
    assert str(error.value) == message


def test_the_steps_of_a_workflow_share_one_trace(world, wait_until, receiver, free_port):
    port = free_port()
    node = json.loads(world.params([["serve", port, ["m"]], ["stay"]], port=port, readyWhen="http"))
    context = {"initParams": json.dumps({"traceId": "t-1", "callbackUrl": receiver.url})}
    smoke = {"prompt": "hi", "pattern": "said hi"}
    for step in ({**node, "action": "start"}, {"action": "warmup"}, {"action": "smoke", "smoke": smoke},
                 {"action": "notify"}, {"action": "stop"}):  # fmt: skip
        done = world.run("apply", "--params", "-", stdin=json.dumps({**step, "context": context}))
        assert (done.status, done.result["traceId"]) == (0, "t-1"), done.stdout + done.stderr
        context |= {name: done.result[name] for name in ("traceId", "launchId", "state") if name in done.result}
    assert context["state"] == "stopped"
    wait_until(lambda: sorted(receiver.events()) == ["ready", "ready", "stopped"])
