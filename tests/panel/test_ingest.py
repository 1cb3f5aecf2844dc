"""Posted callbacks and lines are written to Loki once, whichever panel receives them."""

import asyncio
import gzip
import json
import time
import zlib

import pytest
from support.trace_lines import fill

from tracetail.agent.checked_settings import redactor_of
from tracetail.agent.settings import AgentSettings, RedactionSettings
from tracetail.panel.routes.request import BODY_MAX_BYTES


async def test_a_callback_is_written_to_loki_once(loki, panel):
    report = {
        "model": "Qwen/Qwen2-7B",
        "port": 8000,
        "pid": 71,
        "log_file": "/var/log/x.log",
        "event": "ready",
        "eventId": "e-1",
        "traceId": "t1",
        "instanceId": 1008611,
        "phases": [{"name": "imports", "seconds": 1}],
    }
    answer = await panel.post("/api/report/llm-start", report)
    assert (answer["received"], answer["repeated"]) == (True, False)
    assert (await panel.post("/api/report/llm-start", report))["repeated"] is True
    (line,) = (await panel.get("/api/logs", traceId="t1"))["lines"]
    assert line["text"].startswith("reported event=ready eventId=e-1 model=Qwen/Qwen2-7B port=8000 pid=71")
    assert line["kind"] == "event"


async def test_a_callback_without_ids_gets_a_new_trace(loki, panel):
    body = {"model": "qwen-7b", "port": 8000, "pid": 12345, "log_file": "/opt/llm/logs/qwen-7b.log"}
    answer = await panel.post("/api/report/llm-start", body)
    (line,) = (await panel.get("/api/logs", traceId=answer["traceId"]))["lines"]
    assert "pid=12345" in line["text"]


async def test_a_post_that_is_not_json_is_refused(panel):
    async with panel.session.post(panel.url + "/api/report/llm-start", data="model=x") as response:
        assert response.status == 415
    answer = await panel.post("/api/report/llm-start", {"port": "x"}, status=400)
    assert answer["error"]["code"] == "bad_body"


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


async def post_packed(panel, body, encoding):
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    async with panel.session.post(panel.url + "/api/log/append", data=body, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate), ("identity", bytes)],
)
async def test_a_compressed_body_is_read(panel, encoding, pack):
    body = json.dumps({"instanceId": 1, "lines": ["one"]}).encode()
    assert (await post_packed(panel, pack(body), encoding))[0] == 200
    if encoding != "identity":
        status, answer = await post_packed(panel, pack(body)[:-6], encoding)
        assert (status, answer["error"]["code"]) == (400, "bad_body")


async def test_a_body_that_decompresses_to_too_much_is_refused(panel):
    status, _ = await post_packed(panel, gzip.compress(b" " * (BODY_MAX_BYTES + 1)), "gzip")
    assert status == 413
    for encoding, code in (("gzip", 400), ("br", 415)):
        assert (await post_packed(panel, b"{}", encoding))[0] == code


async def test_appended_lines_are_stored_under_their_instance(loki, panel):
    body = {"instanceId": 1008611, "timestamp": 1795350000000, "lines": ["one", "two", "two"]}
    body["timestamp"] = time.time_ns() // 10**6 - 1000
    answer = await panel.post("/api/log/append", body)
    assert answer == {"appended": 3, "traceId": "1008611", "instanceId": "1008611"}
    page = await panel.get("/api/logs", instanceId="1008611")
    assert [line["text"] for line in page["lines"]] == ["one", "two", "two"]


async def test_a_repeated_post_writes_equal_entries(loki, panel):
    body = {"instanceId": "7", "timestamp": time.time_ns() // 10**6, "lines": ["a", "b"]}
    await panel.post("/api/log/append", body)
    await panel.post("/api/log/append", {**body, "lines": ["c"]})
    await panel.post("/api/log/append", body)
    page = await panel.get("/api/logs", instanceId="7")
    assert [line["text"] for line in page["lines"]] == ["a", "b", "c"]


async def test_posts_of_one_run_to_two_panels_are_stored_once_in_order(loki, panel, start_panel):
    now_ms = time.time_ns() // 10**6
    posts = [
        {"instanceId": "7", "timestamp": now_ms + i // 3, "lines": [f"{i} a", "same", f"{i} b"]} for i in range(12)
    ]
    async with start_panel(loki.url) as other:
        for index, post in enumerate(posts):
            await (panel, other)[index % 2].post("/api/log/append", post)
            # The response was lost: the platform repeats the request, and reaches the other panel.
            await (other, panel)[index % 2].post("/api/log/append", post)
        await panel.post("/api/log/append", posts[3])
        page = await other.get("/api/logs", instanceId="7")
        assert [line["text"] for line in page["lines"]] == [text for post in posts for text in post["lines"]]
        assert len({line["source"] for line in page["lines"]}) == 1


async def test_concurrent_posts_to_two_panels_lose_no_line(loki, panel, start_panel):
    async with start_panel(loki.url) as other:
        at = time.time_ns() // 10**6
        body = [{"instanceId": "7", "timestamp": at, "lines": ["same", f"{i}"]} for i in range(20)]
        await asyncio.gather(*((panel, other)[i % 2].post("/api/log/append", each) for i, each in enumerate(body)))
        texts = [line["text"] for line in (await panel.get("/api/logs", instanceId="7"))["lines"]]
        assert sorted(texts) == sorted(["same"] * 20 + [str(i) for i in range(20)])


async def test_appended_lines_are_stored_in_the_trace_of_their_instance(loki, panel):
    fill(loki, 3)
    answer = await panel.post("/api/log/append", {"instanceId": "i1", "lines": ["from the scheduler"]})
    assert answer["traceId"] == "t1"
    page = await panel.get("/api/logs", traceId="t1")
    assert page["lines"][-1]["text"] == "from the scheduler"


async def test_a_long_appended_line_is_stored_in_pieces_that_are_joined_again(loki, panel):
    text = "é" * 150_000
    await panel.post("/api/log/append", {"instanceId": "9", "lines": [text]})
    async with panel.session.get(panel.url + "/api/logs/download", params={"traceId": "9"}) as response:
        assert await response.text() == text + "\n"


async def test_posts_are_masked_by_the_common_and_the_configured_patterns(loki, start_panel):
    settings = AgentSettings(redaction=RedactionSettings(extra=["card-[0-9]+"], keep=["demo-key"]))
    async with start_panel(loki.url, redactor=redactor_of(settings)) as panel:
        lines = ["OPENAI_API_KEY=zz12345 --api-key demo-key card-42"]
        await panel.post("/api/log/append", {"instanceId": "77", "lines": lines})
        exit_ = {"cause": "bad password=zz123 card-43"}
        await panel.post("/api/report/llm-start", {"model": "m", "traceId": "t-7", "instanceId": "78", "exit": exit_})

        (line,) = (await panel.get("/api/logs", traceId="77"))["lines"]
        assert line["text"] == "OPENAI_API_KEY=*** --api-key demo-key ***"
        (line,) = (await panel.get("/api/logs", traceId="t-7"))["lines"]
        assert 'cause="bad password=*** ***"' in line["text"]
