"""The download of a log."""

import time

import orjson
from support.trace_lines import LABELS, OTHER


async def test_a_text_download_equals_the_output_of_the_servers(loki, panel):
    start = time.time_ns() - 10**9
    for index, (text, kind) in enumerate(
        [
            ("started x", "event"),
            ("a", ""),
            ("b1", "cut"),
            ("b2", ""),
            ("50%", "redraw"),
            ("100%", "redraw"),
            ("z", "cut"),
        ]
    ):
        loki.add(LABELS, start + index * 2, text, **({"kind": kind} if kind else {}))
    loki.add(OTHER, start + 5, "other")
    async with panel.session.get(
        panel.url + "/api/logs/download", params={"launchId": LABELS["launchId"]}
    ) as response:
        assert await response.text() == "a\nb1b2\n50%\r100%\rz"
        assert LABELS["launchId"] in response.headers["Content-Disposition"]
    async with panel.session.get(
        panel.url + "/api/logs/download", params={"traceId": "t1", "format": "jsonl"}
    ) as response:
        lines = [orjson.loads(line) for line in (await response.text()).splitlines()]
        assert len(lines) == 8
