"""What a server gets for its spans: the trace that it belongs to, and the launch's ids as attributes of a resource.

OpenTelemetry's SDKs, and so vLLM (`--otlp-traces-endpoint`), read both from the environment: spans in Tempo name
the launch whose lines are in Loki:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import os
from collections.abc import Mapping
from urllib.parse import quote

from tracetail.contract import identity
from tracetail.contract.record import Record
from tracetail.launcher.schedulers import PARENT_VARIABLE

RESOURCE_VARIABLE = "OTEL_RESOURCE_ATTRIBUTES"
SERVICE_VARIABLE = "OTEL_SERVICE_NAME"
SERVICE_ATTRIBUTE = "service.name"
LAUNCH_ATTRIBUTES = {
    "tracetail.launch_id": "launchId",
    "tracetail.trace_id": "traceId",
    "tracetail.instance_id": "instanceId",
    "service.instance.id": "launchId",
    "deployment.environment.name": "env",
}
"""Attribute → field of the record."""


def trace_variables(record: Record, params_environ: Mapping[str, str]) -> dict[str, str]:
    """Return TRACEPARENT, for a W3C trace id, and OTEL_RESOURCE_ATTRIBUTES for the server of a launch.

    params_environ: the variables that the parameters set. What these and the caller's environment name stays: other
    attributes, a service's name, and the caller's span, if it is one of the launch's trace.
    """
    given = {**os.environ, **params_environ}
    parent = given.get(PARENT_VARIABLE, "")
    if parent.split("-")[1:2] != [record["traceId"]]:
        parent = identity.traceparent(record["traceId"]) or ""
    variables = {RESOURCE_VARIABLE: _attributes(record, given)}
    return {**variables, PARENT_VARIABLE: parent} if parent else variables


def _attributes(record: Record, given: Mapping[str, str]) -> str:
    """Return `name=value,…`; values are percent-encoded, as the specification says."""
    pairs = [pair.strip() for pair in given.get(RESOURCE_VARIABLE, "").split(",") if "=" in pair]
    known = {pair.partition("=")[0].strip(): pair for pair in pairs}
    own = {name: str(record[field]) for name, field in LAUNCH_ATTRIBUTES.items()}  # type: ignore[literal-required]
    if not given.get(SERVICE_VARIABLE) and SERVICE_ATTRIBUTE not in known:
        own[SERVICE_ATTRIBUTE] = record["modelName"]  # the label service_name of its lines
    return ",".join({**known, **{name: f"{name}={quote(value, safe='')}" for name, value in own.items()}}.values())
