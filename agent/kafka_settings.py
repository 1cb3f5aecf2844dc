"""The table `[kafka]` of the configuration: a topic that the agent sends every line to, beside Loki."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tracetail.contract.access import parse_listen
from tracetail.contract.secret_file import SecretFileError, read_secret

_OWN = {
    "bootstrap.servers": "set kafka.brokers",
    "metadata.broker.list": "set kafka.brokers",
    **dict.fromkeys(
        (
            "acks",
            "delivery.report.only.error",
            "delivery.timeout.ms",
            "enable.gapless.guarantee",
            "enable.idempotence",
            "message.send.max.retries",
            "message.timeout.ms",
            "request.required.acks",
            "retries",
            "transactional.id",
        ),
        "tracetail sets it itself, so that no line is lost",
    ),
}
"""Options of librdkafka that may not be set, each with the reason."""
_SECRET_ENDINGS = ("password", "secret", "passphrase", ".pem", "oauthbearer.config")
"""How the names of those options end whose values are secrets."""
_DEFAULTS = {
    "client.id": "tracetail",
    "compression.type": "lz4",
    # As Java's producers divide keys, so that a launch has the same partition in what a Java program writes.
    "partitioner": "murmur2_random",
    # What waits for acknowledgement is in the journal; this bounds the memory while Kafka cannot be reached.
    "queue.buffering.max.kbytes": "16384",
    "socket.keepalive.enable": "true",
    # A topic that does not exist is reported after this time, and tried again.
    "topic.metadata.propagation.max.ms": "5000",
}
_ALWAYS = {"enable.idempotence": "true", "message.timeout.ms": "0"}
"""Every message is acknowledged by all replicas in sync, and none is given up after a time."""
MESSAGE_MAX_BYTES = 1_000_000
"""librdkafka's default of message.max.bytes."""


class KafkaSettingsError(ValueError):
    """The settings of `[kafka]` cannot be used; the message names the setting."""


class KafkaSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The topic that lines are sent to, and how its brokers are reached."""

    brokers: Annotated[
        list[str], Meta(description="host:port of some of the cluster's brokers; empty: nothing is sent to Kafka")
    ] = []
    topic: Annotated[str, Meta(description="topic of the lines", min_length=1)] = "llm-task-log"
    options: Annotated[
        dict[str, Any],
        Meta(description='further options of the producer, by their names in librdkafka: "security.protocol", …'),
    ] = {}
    option_files: Annotated[
        dict[str, Any],
        Meta(description='options whose values are secrets, each with the file that holds it: "sasl.password", …'),
    ] = {}

    @property
    def is_set(self) -> bool:
        """Lines are sent to Kafka."""
        return bool(self.brokers)

    @property
    def target(self) -> str:
        """Where lines are sent to, for messages."""
        return f"{self.topic} at {','.join(self.brokers)}"

    @property
    def message_max_bytes(self) -> int:
        """The largest message that the producer accepts, in bytes."""
        text = _flat("kafka.options", self.options).get("message.max.bytes", "")
        return int(text) if text.isdecimal() else MESSAGE_MAX_BYTES

    def check(self) -> None:
        """Raise KafkaSettingsError if a setting cannot be used. Reads no file."""
        for broker in self.brokers:
            try:
                parse_listen("kafka.brokers", broker)
            except ValueError as error:
                raise KafkaSettingsError(f"kafka.brokers holds {broker!r}; expected host:port") from error
        options = _flat("kafka.options", self.options)
        files = _flat("kafka.option_files", self.option_files)
        for name in (*options, *files):
            if name in _OWN:
                raise KafkaSettingsError(f"kafka.options: {name} may not be set: {_OWN[name]}")
        for name in options:
            if name.endswith(_SECRET_ENDINGS):
                # The message does not repeat the value.
                raise KafkaSettingsError(
                    f"kafka.options: {name} is a secret; write it into a file of its own, and name the file in "
                    f"kafka.option_files"
                )

    def client_options(self) -> dict[str, str]:
        """Return the configuration of a librdkafka producer, but for the brokers.

        Reads the files of secrets at each call. Raises KafkaSettingsError.
        """
        self.check()
        secrets = {}
        for name, path in _flat("kafka.option_files", self.option_files).items():
            try:
                secrets[name] = read_secret(f"kafka.option_files: the file of {name}", path)
            except SecretFileError as error:
                raise KafkaSettingsError(str(error)) from error
        return {**_DEFAULTS, **_flat("kafka.options", self.options), **secrets, **_ALWAYS}


def _flat(setting: str, table: Mapping[str, Any]) -> dict[str, str]:
    """Return options by their full names: without quotes, TOML reads `security.protocol` as a table in a table."""
    return dict(_pairs(setting, "", table))


def _pairs(setting: str, before: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _pairs(setting, f"{name}.", value)
        elif isinstance(value, bool):
            yield name, str(value).lower()
        elif isinstance(value, str | int | float):
            yield name, str(value)
        else:
            raise KafkaSettingsError(
                f"{setting}: {name} has the type {type(value).__name__}; expected text or a number"
            )
