"""The agent's requests and its reading, against what a real Loki was sent and answered."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.recorded_loki import ANY_AGE, CASES, PUSHES, ask, comparable, is_unsupported, parsed
from support.store_process import StoreProcess

from tracetail.loki.answers import PushAnswer, Verdict, verdict
from tracetail.loki.client import LokiClient
from tracetail.loki.entries import Entry, encode_metadata
from tracetail.loki.push import single_body
from tracetail.loki.settings import LokiSettings

READS = [case for case in CASES if case["request"]["method"] == "GET" and not is_unsupported(case)]
WRITES = [case for case in CASES if case["request"]["method"] == "POST"]
LOGS = [case for case in READS if case["status"] == 200 and "streams" in str(case["response"])[:80]]


def bodies_of_the_agent():
    """Yield the recorded data set as the agent sends it: one stream a request, protobuf in snappy."""
    for push in PUSHES:
        for stream in push["streams"]:
            entries = [
                Entry(int(time_ns), line.encode(), encode_metadata(*rest) if rest else b"")
                for time_ns, line, *rest in stream["values"]
            ]
            yield single_body(stream["stream"], entries).data


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What a store answers to all recorded questions, filled by the agent's own requests."""
    with StoreProcess(tmp_path_factory.mktemp("recorded"), **ANY_AGE) as store:
        for body in bodies_of_the_agent():
            answer = store.call(
                "POST", "/loki/api/v1/push", body=body, headers={"Content-Type": "application/x-protobuf"}
            )
            assert answer.status == 204, answer.text
        yield {case["id"]: ask(store, case["request"]) for case in READS}


@pytest.mark.parametrize("case", READS, ids=lambda case: case["id"])
def test_what_the_agent_sends_reads_as_what_was_sent_to_the_real_loki(answers, case):
    answer = answers[case["id"]]
    assert answer.status == case["status"]
    if case["status"] == 200:
        assert comparable(parsed(answer.text)) == comparable(case["response"])


@pytest.mark.parametrize("case", WRITES, ids=lambda case: case["id"])
def test_the_agent_understands_what_the_real_loki_answered_to_a_push(case):
    text = case["response"] if isinstance(case["response"], str) else ""
    understood = verdict(PushAnswer(case["status"], text, 0.0))
    if case["status"] == 204:
        assert understood == Verdict.DELIVERED
    elif case["status"] == 422 or "label" in text:
        assert understood == Verdict.ALL_REFUSED
    else:
        assert understood == Verdict.SOME_REFUSED


@pytest.mark.parametrize("case", LOGS, ids=lambda case: case["id"])
async def test_the_agent_reads_back_what_the_real_loki_returned(case):
    async def answer(request):
        # Whoever pages asks again from the last time on.
        rest = json.loads(json.dumps(case["response"]))
        for stream in rest["data"]["result"]:
            stream["values"] = [value for value in stream["values"] if int(value[0]) >= int(request.query["start"])]
        return web.json_response(rest)

    app = web.Application()
    app.router.add_get("/loki/api/v1/query_range", answer)
    recorded = [
        (int(time_ns), line)
        for stream in case["response"]["data"]["result"]
        for time_ns, line, *_ in stream["values"]
    ]
    async with TestServer(app) as server, LokiClient(LokiSettings(url=str(server.make_url("/")))) as loki:
        found = await loki.all_entries("{}", 0, 2**62)
    assert [(entry.time_ns, entry.line) for entry in found] == sorted(recorded, key=lambda entry: entry[0])
