"""The check of `tracetail doctor` on Kafka: brokers, credentials, the topic, and the right to write to it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from tracetail.agent.kafka_settings import KafkaSettings, KafkaSettingsError
from tracetail.agent.shipping.kafka_errors import advice
from tracetail.agent.shipping.kafka_producer import new_producer
from tracetail.cli.configuration import Configuration
from tracetail.cli.findings import Finding, ok, problem
from tracetail.cli.language import both
from tracetail.cli.refusals import said

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

_SECONDS = 10.0
_PLACE = "kafka"


async def check_kafka(settings: Configuration) -> AsyncIterator[Finding]:
    """Check that the topic can be written to, without writing to it: its consumers would see what is sent."""
    if settings.kafka.is_set:
        yield await asyncio.to_thread(_examine, settings.kafka)


def _examine(settings: KafkaSettings) -> Finding:
    errors: list[KafkaError] = []
    try:
        producer = new_producer(settings, error_cb=errors.append, **_brokers(settings))
    except KafkaSettingsError as error:
        return problem(_PLACE, said(error), both("correct the setting", "请更正这个设置"))
    from confluent_kafka import KafkaException

    try:
        found = producer.list_topics(settings.topic, _SECONDS).topics[settings.topic]
    except KafkaException as error:
        producer.poll(0)  # calls errors.append
        # What the connection failed with says more than that the topic was not found in time.
        reasons = [one for one in errors if one.name() != "_ALL_BROKERS_DOWN"] or [error.args[0]]
        return _not_usable(reasons[-1], settings)
    if found.error is not None:
        return _not_usable(found.error, settings)
    if not _may_write(settings):
        english = f"this user may not write to the topic {settings.topic}"
        return problem(
            _PLACE,
            both(english, f"这个用户没有 topic {settings.topic} 的写权限"),
            both(
                "allow it: kafka-acls.sh --add --producer --topic …",
                "请授权：kafka-acls.sh --add --producer --topic …",
            ),
        )
    english = f"the topic {settings.target} is there, and may be written to; partitions: {len(found.partitions)}"
    return ok(_PLACE, both(english, f"topic {settings.target} 存在且可写；分区数：{len(found.partitions)}"))


def _not_usable(error: "KafkaError", settings: KafkaSettings) -> Finding:
    return problem(_PLACE, f"{settings.target}: {error.str()}", said(advice(error, settings)))


def _may_write(settings: KafkaSettings) -> bool:
    """Return whether the topic may be written to, as far as the cluster says that."""
    from confluent_kafka import KafkaException, TopicCollection
    from confluent_kafka.admin import AdminClient

    options: dict[str, str | int | float | bool] = {
        **settings.client_options(),
        **_brokers(settings),
        "log_level": "0",
    }
    try:
        [future] = (
            AdminClient(options)
            .describe_topics(
                TopicCollection([settings.topic]), include_authorized_operations=True, request_timeout=_SECONDS
            )
            .values()
        )
        allowed = future.result(_SECONDS).authorized_operations
    except (KafkaException, TimeoutError):
        return True  # a cluster that does not answer this may take lines all the same
    return not allowed or not {"WRITE", "ALL"}.isdisjoint(operation.name for operation in allowed)


def _brokers(settings: KafkaSettings) -> dict[str, str]:
    return {"bootstrap.servers": ",".join(settings.brokers)}
