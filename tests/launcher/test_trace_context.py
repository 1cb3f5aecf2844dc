"""What OpenTelemetry's own SDK finds in a server's environment: the launch's ids, and the caller's span as parent."""

import json
import sys

SERVER = """
import json, os
from opentelemetry.sdk.resources import Resource
found = {"resource": dict(Resource.create().attributes), "parent": os.environ.get("TRACEPARENT", "")}
print(json.dumps(found), flush=True)
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def seen_by_sdk(world, caller, **params):
    """Start a server that prints its resource; return that, the traceparent and the record."""
    command = [sys.executable, "-c", SERVER]
    started = world.run(
        "start",
        "--params",
        json.dumps({"modelName": "Qwen/Qwen3, 8B", "command": command, **params}),
        environ=caller,
    )
    launch = world.launch(started.result)
    world.ended(launch)
    found = json.loads(world.output(launch))
    return found["resource"], found["parent"], launch.read()


def test_the_resource_of_spans_names_the_launch_and_keeps_the_attributes_of_the_user(world):
    given = {"OTEL_RESOURCE_ATTRIBUTES": "team=nlp%20test,tracetail.launch_id=old", "TRACEPARENT": ""}
    resource, parent, record = seen_by_sdk(world, given, traceId=TRACE, env="dev")
    assert resource["tracetail.launch_id"] == resource["service.instance.id"] == record["launchId"]
    assert (resource["tracetail.trace_id"], resource["tracetail.instance_id"]) == (TRACE, record["instanceId"])
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("Qwen/Qwen3, 8B", "dev")
    assert resource["team"] == "nlp test"
    assert parent.startswith(f"00-{TRACE}-")


def test_spans_are_children_of_the_callers_span_and_a_services_name_stays(world):
    caller = f"00-{TRACE}-00f067aa0ba902b7-01"
    resource, parent, record = seen_by_sdk(world, {"TRACEPARENT": caller}, environ={"OTEL_SERVICE_NAME": "mine"})
    assert record["traceId"] == TRACE
    assert parent == caller
    assert resource["service.name"] == "mine"
