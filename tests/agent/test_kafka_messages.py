"""What a line becomes in Kafka: keys, fields, and an identity that stays the same."""

import json

from tracetail.agent.shipping.kafka_messages import messages_of
from tracetail.loki.entries import Entry, encode_metadata

LABELS = {"traceId": "t-1", "instanceId": "1008611", "launchId": "20261122T211210-abcdef", "host": "node1"}
TIME = 1_795_353_130_123_456_789
META = encode_metadata({"level": "info", "process": "APIServer", "source": "api.py:7", "request_id": "cmpl-1"})


def _one(text: str, labels=LABELS, meta: bytes = META, time_ns: int = TIME):
    [message] = messages_of(labels, [Entry(time_ns, text.encode(), meta)])
    return message


def test_a_line_has_the_ids_level_time_and_text_that_consumers_read_and_the_names_of_the_panels_api():
    message = _one('quoted "text" 模型 \x07')
    assert json.loads(message.value) == {
        **LABELS,
        "time": str(TIME),
        "level": "info",
        "process": "APIServer",
        "code": "api.py:7",
        "requestId": "cmpl-1",
        "text": 'quoted "text" 模型 \x07',
    }
    assert message.key == b"20261122T211210-abcdef"
    assert message.time_ms == TIME // 1_000_000


def test_the_identity_is_the_same_for_the_same_entry_and_another_for_any_other():
    identity = _one("line").identity
    assert _one("line", {**LABELS}).identity == identity
    others = [_one("line", time_ns=TIME + 1), _one("Line"), _one("line", {**LABELS, "launchId": "another"})]
    assert len({identity, *(other.identity for other in others)}) == 4


def test_a_line_without_a_launch_is_identified_by_host_and_file():
    message = _one("line", {"host": "node1", "filename": "/var/log/app.log", "job": "app"}, b"")
    assert message.key == b"node1:/var/log/app.log"
    assert message.identity.startswith(b"node1:/var/log/app.log@")
    assert json.loads(message.value) == {
        "host": "node1",
        "filename": "/var/log/app.log",
        "job": "app",
        "time": str(TIME),
        "text": "line",
    }


def test_a_text_that_is_too_large_is_sent_in_parts_each_time_the_same():
    text = "".join(f"\x01{number:05d}" for number in range(3000))
    parts = list(_one(text).within(10_000))
    assert [part.identity for part in parts] == [part.identity for part in _one(text).within(10_000)]
    assert len({part.identity for part in parts}) == len(parts) > 2
    fields = [json.loads(part.value) for part in parts]
    assert "".join(one["text"] for one in fields) == text
    assert [one.get("kind") for one in fields] == ["cut"] * (len(parts) - 1) + [None]
    assert max(len(part.value) for part in parts) <= 10_000


def test_what_is_small_already_is_not_split_further():
    assert [part.value for part in _one("short").within(10)] == [_one("short").value]
