"""The component's modules that need no page (static/component/log), in real Chromium."""

import json

import pytest
from support.panel_browser import opened
from support.panel_loki import nasty_loki

from tracetail.panel.trace import stats
from tracetail.panel.trace.entry import Entry, Key, Stream

pytestmark = pytest.mark.needs("chromium")

HOUR_NS = 3600 * 10**9
STATS_LINES = (
    (
        "INFO Engine 000: Avg prompt throughput: 45.5 tokens/s, Avg generation throughput: 65.8 tokens/s, "
        "Running: 12 reqs, Waiting: 7 reqs, GPU KV cache usage: 45.5%, Prefix cache hit rate: 12.5%"
    ),
    (
        "INFO Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, Running: 1 reqs, "
        "Swapped: 0 reqs, Pending: 4 reqs, GPU KV cache usage: 10.0%, CPU KV cache usage: 90.0%."
    ),
    (
        "[2026-11-22 13:12:10 TP0] Decode batch. #running-req: 2, #token: 154, token usage: 0.25, "
        "cuda graph: True, gen throughput (token/s): 73.2, #queue-req: 1, "
    ),
    "INFO Started server process [71]",
)
NOON = "1795262400000000000"  # 2026-11-21T12:00:00Z


@pytest.fixture(scope="module")
async def call(start_panel, browser):
    """Call a function of a module in log/, and return what it returns: none keeps anything, so one page is enough."""
    async with (
        nasty_loki() as loki,
        start_panel(loki.url) as panel,
        opened(browser, f"{panel.url}/panel?traceId=none") as page,
    ):

        async def called(module, function, *arguments):
            script = f"""async (given) => {{
              const {{ {function} }} = await import('/static/component/log/{module}.js');
              const sets = (name, value) => (name === 'unfolded' ? new Set(value) : value);
              return {function}(...JSON.parse(given, sets));
            }}"""
            return await page.evaluate(script, json.dumps(arguments))

        yield called


async def test_a_place_is_a_number_a_time_of_day_a_date_or_seconds_since_the_start(call):
    log = {"origin": NOON, "last": str(int(NOON) + HOUR_NS), "zone": "utc"}
    places = {
        "3456": {"number": 3456},
        "+90": {"key": "1795262490000000000"},
        "+1:30": {"key": "1795262490000000000"},
        "+0.5s": {"key": "1795262400500000000"},
        "12:30": {"key": "1795264200000000000"},
        "12:30:01.25": {"key": "1795264201250000000"},
        "2026-11-21T12:00:01Z": {"key": "1795262401000000000"},
        "nowhere": None,
        "": None,
    }
    for text, place in places.items():
        assert await call("place", "placeOf", text, log) == place, text
    assert await call("place", "placeOf", "+90", {"zone": "utc"}) is None


async def test_times_and_sizes_are_written_as_people_read_them(call):
    key = f"{int(NOON) + 61_001_000_000}-aa"
    options = {"zone": "utc", "origin": NOON}
    assert await call("format", "lineTime", key, {"mode": "absolute", **options}) == "12:01:01.001"
    assert await call("format", "lineTime", key, {"mode": "relative", **options}) == "+01:01.001"
    assert await call("format", "lineTime", NOON, {"mode": "relative", "zone": "utc", "origin": key}) == "-01:01.001"
    assert await call("format", "lineTime", key, {"mode": "off", **options}) == ""
    assert await call("format", "fullTime", key, "utc") == "2026-11-21T12:01:01.001000000Z"
    seconds = [await call("format", "duration", value) for value in (0.04, 59.4, 90, 5400)]
    assert seconds == ["0.0 s", "59 s", "1 min 30 s", "1 h 30 min"]
    assert [await call("format", "bytes", count) for count in (999, 4_400, 2_500_000)] == ["999 B", "4 kB", "2.5 MB"]


def lines(*described):
    """Return one loaded block of lines (text, kind)."""
    entries = [
        {"id": f"{1000 + index}-aa", "source": "a", "text": text, **({"kind": kind} if kind else {})}
        for index, (text, kind) in enumerate(described)
    ]
    return [{"entries": entries, "counts": {"a": len(entries)}}]


async def rows_of(call, blocks, **options):
    rows = await call("rows", "buildRows", blocks, {"fold": False, "unfolded": [], **options})
    return [(row["entry"]["text"], row["number"], len(row["parts"]), row["redraws"], row["folded"]) for row in rows]


async def test_pieces_and_redraws_become_one_row_and_keep_the_numbers_of_lines(call):
    blocks = lines(
        ("INFO one ", "cut"),
        ("ready", "event"),
        ("and two", ""),
        ("10%", "redraw"),
        ("20%", "redraw"),
        ("INFO z", ""),
    )
    assert await rows_of(call, blocks) == [
        ("INFO one ", 1, 2, 0, 0),
        ("ready", 2, 1, 0, 0),
        ("20%", 4, 1, 1, 0),
        ("INFO z", 6, 1, 0, 0),
    ]


async def test_a_long_record_is_folded_and_a_short_one_is_not(call):
    traceback = [(f"  File {number}", "") for number in range(4)]
    blocks = lines(("ERROR a", ""), *traceback, ("exited", "event"), ("ERROR b", ""), *traceback[:3])
    folded = await rows_of(call, blocks, fold=True)
    assert [(text, hidden) for text, _, _, _, hidden in folded] == [
        ("ERROR a", 4),
        ("exited", 0),
        ("ERROR b", 0),
        *((text, 0) for text, _ in traceback[:3]),
    ]
    unfolded = await rows_of(call, blocks, fold=True, unfolded=["1000-aa"])
    assert len(unfolded) == len(await rows_of(call, blocks)) == 10


async def test_a_traceback_with_a_header_on_every_line_is_folded_to_its_exception(call):
    def logged(text, pid="7"):
        header = f"(EngineCore pid={pid}) ERROR 11-22 13:12:10 [core.py:1] "
        return {"source": "a", "level": "error", "code": "core.py:1", "pid": pid, "text": header + text}

    frames = [f'  File "core.py", line {number}, in run' for number in range(4)]
    texts = ["EngineCore failed to start.", "Traceback (most recent call last):", *frames, "ValueError: too small"]
    entries = [{**logged(text), "id": f"{1000 + number}-aa"} for number, text in enumerate(texts)]
    entries.append({**logged(frames[0], pid="8"), "id": "2000-aa"})
    blocks = [{"entries": entries, "counts": {"a": len(entries)}}]
    folded = await rows_of(call, blocks, fold=True)
    shown = [(text.partition("] ")[2], hidden) for text, _, _, _, hidden in folded]
    assert shown == [(texts[0], 5), (texts[-1], 0), (frames[0], 0)]
    assert len(await rows_of(call, blocks, fold=True, unfolded=["1000-aa"])) == len(entries)


async def test_a_traceback_without_headers_is_folded_to_its_exception(call):
    # as uvicorn prints what an application raises
    frames = [f'  File "app.py", line {number}, in call' for number in range(4)]
    head, *texts = ["ERROR:    Exception in ASGI application", "Traceback (most recent call last):", *frames]
    entries = [
        {"source": "a", "level": "error", "id": f"{1000 + number}-aa", "text": text}
        for number, text in enumerate([head, *texts, "RuntimeError: CUDA error: out of memory"])
    ]
    entries.append({"source": "a", "level": "info", "id": "2000-aa", "text": "INFO:     Shutting down"})
    blocks = [{"entries": entries, "counts": {"a": len(entries)}}]
    folded = await rows_of(call, blocks, fold=True)
    assert [(text, number, hidden) for text, number, _, _, hidden in folded] == [
        (head, 1, 5),
        ("RuntimeError: CUDA error: out of memory", 7, 0),
        ("INFO:     Shutting down", 8, 0),
    ]
    assert len(await rows_of(call, blocks, fold=True, unfolded=["1000-aa"])) == len(entries)


async def test_colours_become_styles_and_hidden_characters_their_codes(call):
    assert await call("ansi", "pieces", "plain") == [{"text": "plain"}]
    assert await call("ansi", "pieces", "\x1b[1;38;5;196mred\x1b[0m\u202egnp") == [
        {"text": "red", "bold": True, "color": "rgb(255 0 0)"},
        {"text": "<202E>", "mark": "U+202E"},
        {"text": "gnp"},
    ]
    assert await call("ansi", "plain", "\x1b[31mred\x1b[0m\x1b]8;;http://x\x07link") == "redlink"


@pytest.mark.parametrize(
    "text",
    [
        "family: \U0001f468\u200d\U0001f469\u200d\U0001f467",  # emoji-zwj-sequences.txt of Unicode
        "\U0001f9d1\U0001f3fd\u200d\U0001f4bb \U0001f3f3\ufe0f\u200d\U0001f308",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: I want
        "\u0915\u094d\u200d\u0937 \u0d28\u0d4d\u200d",  # Devanagari behind a virama; Malayalam at the end of a word
    ],
)
async def test_joiners_that_a_script_or_an_emoji_needs_stay_in_the_text(call, text):
    assert await call("ansi", "pieces", text) == [{"text": text}]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pay\u200dpal.com", "pay<200D>pal.com"),
        ("\U0001f468\u200d admin", "\U0001f468<200D> admin"),
        ("\U0001f468\u200d\u200d\U0001f469", "\U0001f468<200D><200D>\U0001f469"),
        ("\u0645\u200cadmin", "\u0645<200C>admin"),
        ("\U0001f468\u200c\U0001f469", "\U0001f468<200C>\U0001f469"),
        ("\u4f60\u200d\u597d", "\u4f60<200D>\u597d"),
    ],
)
async def test_joiners_that_hide_something_are_shown_by_their_code(call, text, shown):
    assert "".join(piece["text"] for piece in await call("ansi", "pieces", text)) == shown


@pytest.mark.parametrize("text", STATS_LINES)
async def test_browser_and_server_parse_the_same_figures(call, text):
    entry = Entry(Key(int(NOON), "aa"), Stream("a", "", {}, b""), text)
    found = await call("stats", "statsOf", {"id": f"{NOON}-aa", "time": NOON, "source": "a", "text": text})
    figures = found and {name: value for name, value in found.items() if value is not None}
    assert figures == stats.point(entry)
