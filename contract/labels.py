"""The labels of a launch's stream in Loki, and the names of an entry's structured metadata."""

from tracetail.contract.record import Record

TRACE_ID = "traceId"
INSTANCE_ID = "instanceId"
LAUNCH_ID = "launchId"
SERVICE_NAME = "service_name"
"""The modelName, under the name that Loki and Grafana use for a service."""
ENV = "env"
ENGINE = "engine"
HOST = "host"
LAUNCH_LABELS = (TRACE_ID, INSTANCE_ID, LAUNCH_ID, SERVICE_NAME, ENV, ENGINE, HOST)

METADATA_LEVEL = "level"
METADATA_PROCESS = "process"
METADATA_PID = "pid"
METADATA_NODE = "node"
"""The machine that printed the line, where the engine itself brings lines from other machines (Ray)."""
METADATA_SOURCE = "source"
METADATA_REQUEST_ID = "request_id"
METADATA_KIND = "kind"
"""`event`, `cut` or `redraw`: the mark of the line; absent for the server's ordinary lines."""
METADATA_ORIGINAL_TIME = "original_time"
METADATA_NAMES = (
    METADATA_LEVEL,
    METADATA_PROCESS,
    METADATA_PID,
    METADATA_NODE,
    METADATA_SOURCE,
    METADATA_REQUEST_ID,
    METADATA_KIND,
    METADATA_ORIGINAL_TIME,
)
METADATA_JSON_NAMES = {
    METADATA_SOURCE: "code",
    METADATA_REQUEST_ID: "requestId",
    METADATA_ORIGINAL_TIME: "originalTime",
}
"""The names of structured metadata in the JSON of a line, where they are others: in the panel's API and in Kafka."""

LABEL_COUNT_MAX = 15
LABEL_VALUE_MAX_BYTES = 2048
ENTRY_MAX_BYTES = 262_144
"""Loki's default limits (limits_config: max_label_names_per_series, max_label_value_length, max_line_size)."""


def launch_labels(record: Record) -> dict[str, str]:
    """Return the labels of this launch's stream."""
    return {
        TRACE_ID: record["traceId"],
        INSTANCE_ID: record["instanceId"],
        LAUNCH_ID: record["launchId"],
        SERVICE_NAME: record["modelName"],
        ENV: record["env"],
        ENGINE: record["engine"],
        HOST: record["host"],
    }
