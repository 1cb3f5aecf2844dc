"""What an error of Kafka or librdkafka means for messages that were not stored, and what to do about it.

Codes: https://kafka.apache.org/protocol#protocol_error_codes; those below zero are librdkafka's own (rdkafka.h).
"""

from enum import Enum, auto
from typing import TYPE_CHECKING

from tracetail.agent.kafka_settings import KafkaSettings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError


class Trouble(Enum):
    """What is to be done about an error."""

    AGAIN = auto()
    """Try again: it may pass."""
    SETTINGS = auto()
    """Try again now and then: somebody has to change a setting of the cluster."""
    CREDENTIALS = auto()
    """As SETTINGS; new secrets or certificates may be in their files."""
    TOO_LARGE = auto()
    """Send less at a time."""
    TIME = auto()
    """Send without the line's own time."""
    PRODUCER = auto()
    """Go on with another producer: this one does not send any more."""
    ALL_DOWN = auto()
    """No broker is connected; an error of a broker before it says why."""


_TROUBLES = {
    "MSG_SIZE_TOO_LARGE": Trouble.TOO_LARGE,
    "RECORD_LIST_TOO_LARGE": Trouble.TOO_LARGE,
    "INVALID_TIMESTAMP": Trouble.TIME,
    "_ALL_BROKERS_DOWN": Trouble.ALL_DOWN,
    "_FATAL": Trouble.PRODUCER,
    "_AUTHENTICATION": Trouble.CREDENTIALS,
    "_SSL": Trouble.CREDENTIALS,
    "SASL_AUTHENTICATION_FAILED": Trouble.CREDENTIALS,
    **dict.fromkeys(
        (
            "UNKNOWN_TOPIC_OR_PART",
            "_UNKNOWN_TOPIC",
            "_UNKNOWN_PARTITION",
            "TOPIC_EXCEPTION",
            "TOPIC_AUTHORIZATION_FAILED",
            "CLUSTER_AUTHORIZATION_FAILED",
            "INVALID_RECORD",
        ),
        Trouble.SETTINGS,
    ),
}
_ADVICE = {
    "_AUTHENTICATION": "look at sasl.mechanism, sasl.username and the file of sasl.password ([kafka.options])",
    "SASL_AUTHENTICATION_FAILED": "look at sasl.username and the file of sasl.password",
    "_SSL": "look at ssl.ca.location, and whether this listener uses TLS at all",
    "_TRANSPORT": "look at kafka.brokers, security.protocol, and whether the broker runs",
    "_RESOLVE": "look at kafka.brokers, and at the broker's advertised.listeners",
    "_ALL_BROKERS_DOWN": "look at kafka.brokers, and whether the brokers run",
    "_UNKNOWN_TOPIC": "create the topic {topic}, or set kafka.topic",
    "UNKNOWN_TOPIC_OR_PART": "create the topic {topic}, or set kafka.topic",
    "TOPIC_EXCEPTION": "a topic cannot have this name: set kafka.topic",
    "TOPIC_AUTHORIZATION_FAILED": "allow this user to describe the topic {topic} and to write to it",
    "CLUSTER_AUTHORIZATION_FAILED": (
        "allow this user to describe the topic {topic} and to write to it; before Kafka 2.8 also IdempotentWrite"
    ),
    "MSG_SIZE_TOO_LARGE": "raise max.message.bytes of the topic {topic}",
    "NOT_ENOUGH_REPLICAS": "fewer replicas are in sync than min.insync.replicas of the topic {topic}",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": "fewer replicas are in sync than min.insync.replicas of the topic {topic}",
}


def trouble_of(error: "KafkaError") -> Trouble:
    """Return what is to be done about an error."""
    return Trouble.PRODUCER if error.fatal() else _TROUBLES.get(error.name(), Trouble.AGAIN)


def advice(error: "KafkaError", settings: KafkaSettings) -> str:
    """Return which setting to look at."""
    return _ADVICE.get(error.name(), "look at the broker's log").format(topic=settings.topic)
