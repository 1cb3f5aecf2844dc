"""Text search in lines that are stored in several pieces."""

import asyncio
import random
import re
import time

import orjson
import pytest

A = {"traceId": "t1", "instanceId": "i1", "launchId": "20261122T120000-aaaaaa", "service_name": "m", "host": "h"}
B = {**A, "launchId": "20261122T120001-bbbbbb"}


class Written:
    """Random lines of two launches, some of them cut, with the expected results of a search."""

    def __init__(self, seed, start, count=400):
        chooser = random.Random(seed)
        self.entries = []  # (time_ns, labels, text, metadata)
        self.rows = []  # (time of the first piece, text, level)
        unfinished = {}
        for index in range(count):
            labels = chooser.choice((A, A, B))
            name = labels["launchId"]
            text = "".join(chooser.choice("abc ") for _ in range(chooser.randint(1, 6)))
            time_ns = start + index * 1000
            if chooser.random() < 0.05:
                self.entries.append((time_ns, labels, f"phase name={text}", {"kind": "event"}))
                self.rows.append([time_ns, f"phase name={text}"])
                continue
            is_cut = chooser.random() < 0.3
            self.entries.append((time_ns, labels, text, {"level": "info", **({"kind": "cut"} if is_cut else {})}))
            row = unfinished.pop(name, None)
            if row is None:
                row = [time_ns, ""]
                self.rows.append(row)
            row[1] += text
            if is_cut:
                unfinished[name] = row

    def matches(self, expression):
        return [time_ns for time_ns, text in self.rows if re.search(expression, text)]


async def step_through(panel, direction, **params):
    """Search from one end to the other; return the numbers and times of the matches, and their count."""
    numbers, times, bound = [], [], {} if direction == "next" else {"before": "9223372036854775807"}
    while True:
        found = await panel.get("/api/logs/search", traceId="t1", **params, **bound)
        if found["line"] is None:
            return numbers, times, found["count"]
        numbers.append(found["number"])
        times.append(int(found["line"]["time"]))
        bound = {"after" if direction == "next" else "before": found["line"]["id"]}


@pytest.mark.parametrize("q", ["ab", "bc a", "^a.*c$", "^b$", "(a|b){4}", "nowhere"])
async def test_matches_across_pieces_are_found_and_counted_in_both_directions(loki, panel, q):
    written = Written(q, time.time_ns() - 60 * 10**9)
    for time_ns, labels, text, metadata in written.entries:
        loki.add(labels, time_ns, text, **metadata)
    expected = written.matches(q)
    numbers, times, count = await step_through(panel, "next", q=q, regex="true", case="true")
    assert (times, count) == (expected, len(expected))
    assert numbers == list(range(1, len(expected) + 1))
    numbers, times, count = await step_through(panel, "previous", q=q, regex="true", case="true")
    assert (times[::-1], numbers[::-1], count) == (expected, list(range(1, len(expected) + 1)), len(expected))


@pytest.mark.parametrize("direction", ["forward", "backward"])
async def test_a_page_of_matches_has_all_pieces_of_its_lines(loki, panel, direction):
    start = time.time_ns() - 60 * 10**9
    for index in range(200):
        loki.add(A, start + index * 10, f"Loading shard {index} ", kind="cut", level="info")
        loki.add(B, start + index * 10 + 3, f"other {index}", level="info")
        loki.add(A, start + index * 10 + 5, "done" if index % 3 else "failed", level="info")
    expected = [text for i in range(200) if i % 3 for text in (f"Loading shard {i} ", "done")]
    found, bound = [], {"start": "0"} if direction == "forward" else {}
    while True:
        page = await panel.get(
            "/api/logs", traceId="t1", q=r"SHARD \d+ done$", regex="true", direction=direction, limit=37, **bound
        )
        texts = [line["text"] for line in page["lines"]]
        found = found + texts if direction == "forward" else texts + found
        if not page["more"]:
            break
        edge, line = ("after", page["lines"][-1]) if direction == "forward" else ("before", page["lines"][0])
        bound = {edge: line["id"]}
    assert found == expected
    query = {"traceId": "t1", "q": r"shard \d+ done$", "regex": "true"}
    async with panel.session.get(panel.url + "/api/logs/download", params=query) as response:
        assert await response.text() == "".join(f"Loading shard {i} done\n" for i in range(200) if i % 3)


async def test_an_unfinished_line_is_searched(loki, panel):
    start = time.time_ns() - 10**9
    loki.add(A, start, "Capturing CUDA gra", kind="cut")
    loki.add(A, start + 1, "phase name=x", kind="event")
    loki.add(A, start + 2, "phs", kind="cut")
    found = await panel.get("/api/logs/search", traceId="t1", q="cuda graphs")
    assert (found["count"], found["number"], found["line"]["time"]) == (1, 1, str(start))


async def test_filters_apply_to_cut_lines(loki, panel):
    start = time.time_ns() - 10**9
    for index, level in enumerate(("info", "error")):
        loki.add(A, start + index * 10, "out of ", kind="cut", level=level, process="P1")
        loki.add(A, start + index * 10 + 1, "memory", level=level, process="P1")
    search = {"traceId": "t1", "q": "out of memory"}
    assert (await panel.get("/api/logs/search", **search))["count"] == 2
    found = await panel.get("/api/logs/search", **search, level="error,critical")
    assert (found["count"], found["line"]["time"]) == (1, str(start + 10))
    assert (await panel.get("/api/logs/search", **search, process="P2"))["line"] is None
    assert (await panel.get("/api/logs/search", **search, launchId=B["launchId"]))["count"] == 0


async def test_a_line_of_a_megabyte_is_searched_across_its_pieces(loki, panel):
    start = time.time_ns() - 10**9
    whole = orjson.dumps(list(range(160_000))).decode()
    pieces = [whole[at : at + 200_000] for at in range(0, len(whole), 200_000)]
    for index, piece in enumerate(pieces):
        loki.add(A, start + index, piece, **({"kind": "cut"} if index < len(pieces) - 1 else {}))
    seam = whole[199_990:200_010]
    found = await panel.get("/api/logs/search", traceId="t1", q=seam)
    assert (found["count"], found["line"]["time"]) == (1, str(start))
    assert (await panel.get("/api/logs/search", traceId="t1", q="0,1"))["count"] == 1


SLOW = "[a-m][a-z ]{250}[0-4]"
"""RE2's automaton of it has more states than it keeps: it takes microseconds for each character of a random text."""


@pytest.fixture
def long_lines(loki):
    chooser = random.Random(5)
    start = time.time_ns() - 60 * 10**9
    text = "".join(chooser.choices("abcdefghijklmnopqrstuvwxyz ", k=200_000))
    for index in range(24):
        loki.add(A, start + index, text, level="info", kind="cut")
    loki.add(A, start + 30, "end", level="info")


async def test_a_slow_expression_does_not_keep_the_panel_from_answering_others(long_lines, panel):
    search = asyncio.create_task(panel.get("/api/logs/search", traceId="t1", q=SLOW, regex="true", status=400))
    waits, began = [], time.monotonic()
    while not search.done():
        begun = time.monotonic()
        await panel.get("/api/launches")
        waits.append(time.monotonic() - begun)
        await asyncio.sleep(0.05)
    took = time.monotonic() - began
    assert (await search)["error"]["code"] == "search_too_expensive"
    assert max(waits) < took / 2, "a request that waited for the search would have taken most of its time"


async def test_an_expression_that_is_too_large_is_refused(panel):
    for q in (".{999}x", "(?:a{900}b){900}", "[^x]{1000}{2}"):
        answer = await panel.get("/api/logs/search", traceId="t1", q=q, regex="true", status=400)
        assert answer["error"]["code"] == "bad_parameter"
    answer = await panel.get("/api/logs/search", traceId="t1", q="a(", regex="true", status=400)
    assert answer["error"]["message"] == "q is not a regular expression (RE2): missing ): a("
