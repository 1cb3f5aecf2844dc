"""The parameters: their documentation, their aliases, and what makes two starts the same."""

import json
from pathlib import Path

from tracetail.launcher import params as parameters
from tracetail.launcher import params_input

DOCS = Path(__file__).parents[2] / "docs" / "launcher.md"
ORIGINAL = {
    "modelName": "qwen-7b",
    "modelPath": "/data/models/qwen-7b",
    "port": 8000,
    "pythonBin": "/opt/llm/venv/bin/python",
    "scriptPath": "/opt/llm/scripts/start_llm.py",
    "callbackUrl": "https://your-test-platform/api/report/llm-start",
}


def test_every_parameter_is_documented():
    table = DOCS.read_text()
    for name in parameters.FIELDS:
        assert f"`{name}`" in table, name


def test_the_schema_describes_every_parameter():
    properties = parameters.schema()["$defs"]["Params"]["properties"]
    assert list(properties) == list(parameters.FIELDS)
    assert all(entry.get("description") or "$ref" in json.dumps(entry) for entry in properties.values())


def test_the_original_parameters_work_as_they_are():
    params = params_input.from_object(ORIGINAL)
    assert (params.engine, params.port, params.env) == ("vllm", 8000, "test")
    snake = {"model_name": "qwen-7b", "model_path": "/m", "port": 8000, "callback_url": "https://p/x"}
    assert params_input.from_object(snake).model_path == "/m"
    assert params_input.from_object({**snake, "env": {"A": "1"}}).environ == {"A": "1"}


def test_what_makes_two_starts_the_same():
    running = parameters.to_object(params_input.from_object({**ORIGINAL, "traceId": "t-1", "instanceId": "1"}))

    def same(**changes):
        return parameters.same_start(running, parameters.to_object(params_input.from_object({**ORIGINAL, **changes})))

    assert same()
    assert same(traceId="t-1", instanceId="2", jobId="3", callbackUrl="https://other/", readyTimeoutSec=5)
    assert same(ifRunning="reuse", callbackTokenFile="/t", stopTimeoutSec=1)
    assert not same(traceId="t-2")
    assert not same(args=["--max-model-len", "512"])
    assert not same(modelPath="/other")
