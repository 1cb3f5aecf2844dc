"""GET /llm/logs: the lines of a run by line number."""

import time

from support.trace_lines import LABELS, fill


async def test_polling_by_line_number_returns_every_line_once(loki, panel):
    start = time.time_ns() - 100 * 10**9
    loki.add(LABELS, start, "started port=1", kind="event")
    written, got, line = [], [], 0
    for index in range(2500):
        written.append(f"line {index}")
        loki.add(LABELS, start + 1 + index, written[-1])
        if index % 400 == 399:
            answer = await panel.get("/llm/logs", instanceId="i1", fromLine=line)
            assert answer["fromLine"] == line
            got += answer["lines"]
            line = answer["nextLine"]
    while True:
        answer = await panel.get("/llm/logs", instanceId="i1", fromLine=line)
        got += answer["lines"]
        line = answer["nextLine"]
        if not answer["more"]:
            break
    assert got == written
    assert (answer["state"], answer["finished"]) == ("starting", False)
    assert (await panel.get("/llm/logs", instanceId="i1", fromLine=2500))["lines"] == []


async def test_line_numbers_are_the_same_in_another_panel(loki, panel, start_panel):
    fill(loki, 2500)
    async with start_panel(loki.url) as other:
        answer = await other.get("/llm/logs", instanceId="i1", fromLine=2345, limit=2)
        assert answer["lines"] == ["line 2345", "line 2346"]
        assert (await other.get("/llm/logs", instanceId="i1", fromLine=99999))["lines"] == []
