"""What librdkafka has in flight is never forgotten; brokers are librdkafka's own mock cluster, or there is none."""

import asyncio

import pytest
from support.waiting import eventually

from tracetail.agent.kafka_settings import KafkaSettings
from tracetail.agent.shipping.kafka_messages import Message
from tracetail.agent.shipping.kafka_producer import KafkaProducer

MESSAGES = [Message(b"launch", b'{"text":"%d"}' % number, b"id-%d" % number, 0) for number in range(600)]


@pytest.fixture
async def nobody_answers():
    producer = KafkaProducer(KafkaSettings(brokers=["127.0.0.1:1"]))
    producer.open()
    yield producer
    await producer.close()


async def test_messages_in_flight_come_back_when_the_producer_is_replaced(nobody_answers: KafkaProducer) -> None:
    unanswered = []
    sending = asyncio.create_task(nobody_answers.send(MESSAGES, lambda: unanswered.append(1), 0.2))
    await eventually(lambda: unanswered)
    assert not sending.done()
    nobody_answers.renew()
    async with asyncio.timeout(30):
        failures = await sending
    assert [message for message, _ in failures] == MESSAGES


async def test_messages_are_acknowledged_by_a_producer_and_by_the_one_after_it() -> None:
    producer = KafkaProducer(KafkaSettings(brokers=["127.0.0.1:1"], options={"test.mock.num.brokers": 1}))
    producer.open()
    try:
        assert await producer.send(MESSAGES, lambda: None, 30) == []
        producer.renew()
        assert await producer.send(MESSAGES, lambda: None, 30) == []
    finally:
        await producer.close()
