"""The table `[agent]` of the configuration."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tracetail.contract.heartbeat import INTERVAL_MAX_SECONDS, INTERVAL_SECONDS


class SourceSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One `[[agent.sources]]`: files that no keeper wrote."""

    glob: Annotated[str, Meta(description="files to follow, `**` allowed", min_length=1)]
    labels: Annotated[dict[str, str], Meta(description="labels of their streams")] = {}
    path_pattern: Annotated[
        str, Meta(description="regular expression; its named groups on the path become labels")
    ] = ""
    labels_file: Annotated[
        str,
        Meta(
            description="file of a pod with its annotations or labels, as Kubernetes' downward API writes it;"
            " {namespace}, {pod} and {uid} are those of the log's path"
        ),
    ] = ""
    labels_from: Annotated[
        dict[str, str], Meta(description="names in labels_file, and the labels that their values become")
    ] = {}
    format: Annotated[
        Literal["auto", "plain"],
        Meta(
            description="auto recognises each line's own format, also inside a container runtime's (CRI, Docker's"
            " json-file); plain takes every line as it stands"
        ),
    ] = "auto"
    encoding: Annotated[
        str,
        Meta(
            description="of these files, by Python's names: utf-8, utf-16, gbk, gb18030, latin-1, …; empty: utf-8;"
            " a byte-order mark is recognised by itself"
        ),
    ] = ""
    binary: Annotated[bool, Meta(description="follow files that do not look like text, too")] = False
    ids_from: Annotated[
        Literal["none", "prefix"],
        Meta(
            description="prefix: `[traceId=… instanceId=…]` before a log header (vLLM's VLLM_LOGGING_PREFIX) sets"
            " these labels; only for files whose text you trust"
        ),
    ] = "none"


class RedactSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One `[[agent.redact]]`: a kind of secret to mask."""

    name: Annotated[str, Meta(description="what it is, for messages", min_length=1)]
    regex: Annotated[
        str, Meta(description="RE2 expression; group 1 is kept, the rest of the match becomes ***", min_length=1)
    ]


class RedactionSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The table `[agent.redaction]`: what is masked beside the common secrets, and what is not."""

    extra: Annotated[
        list[str],
        Meta(
            description="RE2 expressions of further secrets; group 1, if there is one, is kept, the rest becomes ***"
        ),
    ] = []
    keep: Annotated[
        list[str],
        Meta(description="RE2 expressions of what is never masked: a value, or a name and its value, in whole"),
    ] = []


class AgentSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What the agent follows and how it ships."""

    listen: Annotated[str, Meta(description="host:port of /metrics, /healthz and /status")] = "127.0.0.1:9464"
    secret_file: Annotated[
        str, Meta(description="file with the bearer token that clients must send; needed to listen beyond loopback")
    ] = ""
    open: Annotated[
        bool,
        Meta(description="true: every program of this machine may use it, without the secret of the state directory"),
    ] = False
    linger_seconds: Annotated[
        float, Meta(description="how long lines are gathered before they are sent", ge=0, le=10)
    ] = 0.2
    batch_kib: Annotated[
        int, Meta(description="how much is sent in one request, before compression", ge=16, le=1024)
    ] = 1024
    heartbeat_seconds: Annotated[
        float,
        Meta(
            description="how often Loki gets a line that lists the running launches of this machine, by which the "
            "panel sees that the machine is lost; 0: never",
            ge=0,
            le=INTERVAL_MAX_SECONDS,
        ),
    ] = INTERVAL_SECONDS
    rate_limit_kib_per_second: Annotated[
        int, Meta(description="how much is sent to Loki, compressed; 0: no limit", ge=0)
    ] = 0
    redaction: Annotated[
        RedactionSettings, Meta(description="what is masked beside the common secrets: by agent, panel and launcher")
    ] = RedactionSettings()
    redact: Annotated[list[RedactSettings], Meta(description="further secrets to mask, beside the common ones")] = []
    state_dirs: Annotated[
        list[str],
        Meta(description="state directories whose launches are followed; empty: every one that exists"),
    ] = []
    log_roots: Annotated[
        list[str],
        Meta(
            description="directories, outside the state directories, beneath which the logs of launches of other "
            "users may lie; those of the agent's own user may lie anywhere"
        ),
    ] = []
    sources: Annotated[list[SourceSettings], Meta(description="further files to follow")] = []
    timezone: Annotated[
        str, Meta(description="zone of times without one, as Europe/Berlin; empty: the machine's")
    ] = ""
    labels: Annotated[dict[str, str], Meta(description="labels added to every stream")] = {}
    serve_metrics: Annotated[bool, Meta(description="answer /metrics, for a Prometheus that scrapes")] = True
    metrics_keep_ended_seconds: Annotated[
        float, Meta(description="how long an ended launch stays in the metrics", ge=0, le=31_536_000)
    ] = 600.0
    metrics_job: Annotated[
        str, Meta(description="the label `job` of metrics that are pushed or written", min_length=1)
    ] = "tracetail"
    pushgateway_url: Annotated[
        str, Meta(description="base URL of a Pushgateway to push all metrics to; empty: none")
    ] = ""
    pushgateway_interval_seconds: Annotated[
        float, Meta(description="time between two pushes to it", gt=0, le=86_400)
    ] = 15.0
    pushgateway_username: Annotated[str, Meta(description="user of HTTP basic auth at the Pushgateway")] = ""
    pushgateway_password_file: Annotated[str, Meta(description="file that holds that user's password")] = ""
    remote_write_url: Annotated[
        str,
        Meta(
            description="URL of a Prometheus remote-write receiver to send all metrics to, as http://…/api/v1/write"
        ),
    ] = ""
    remote_write_interval_seconds: Annotated[float, Meta(description="time between two samples", gt=0, le=86_400)] = (
        15.0
    )
    remote_write_username: Annotated[str, Meta(description="user of HTTP basic auth at the receiver")] = ""
    remote_write_password_file: Annotated[str, Meta(description="file that holds that user's password")] = ""
    remote_write_bearer_token_file: Annotated[
        str, Meta(description="file that holds a bearer token for the receiver")
    ] = ""
