"""The clients of the store's benchmark: the same pushes and questions for Loki's API and for VictoriaLogs.

Each keeps one connection. A question returns the seconds that it took and what was found: the number of lines, or for
a histogram the number of lines by level.
"""

import http.client
import json
import time
import urllib.parse
from collections import Counter
from typing import Protocol

STEP_SECONDS = 60


class Client(Protocol):
    def __init__(self, url: str) -> None: ...
    def push(self, body: bytes) -> None: ...
    def page(self, trace_id: str, start_ns: int, end_ns: int, limit: int) -> tuple[float, int]: ...
    def search(
        self, trace_id: str, start_ns: int, end_ns: int, limit: int, text: str, *, ignore_case: bool = False
    ) -> tuple[float, int]: ...
    def histogram(self, trace_id: str, start_ns: int, end_ns: int) -> tuple[float, dict[str, int]]: ...


class Connection:
    """An HTTP connection to a server."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=300)

    def push(self, path: str, body: bytes) -> None:
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
        self._connection.request("POST", path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 204:
            raise SystemExit(f"a push was answered {answer.status}: {text.decode()[:300]}")

    def get(self, path: str, **params: object) -> tuple[float, bytes]:
        started = time.perf_counter()
        self._connection.request("GET", f"{path}?{urllib.parse.urlencode(params)}")
        answer = self._connection.getresponse()
        body = answer.read()
        took = time.perf_counter() - started
        if answer.status != 200:
            raise SystemExit(f"a query was answered {answer.status}: {body.decode()[:300]}")
        return took, body


class LokiClient:
    """Loki, or the embedded store."""

    def __init__(self, url: str) -> None:
        self._connection = Connection(url)

    def push(self, body: bytes) -> None:
        self._connection.push("/loki/api/v1/push", body)

    def page(self, trace_id: str, start_ns: int, end_ns: int, limit: int) -> tuple[float, int]:
        return self._lines(_selector(trace_id), start_ns, end_ns, limit)

    def search(
        self, trace_id: str, start_ns: int, end_ns: int, limit: int, text: str, *, ignore_case: bool = False
    ) -> tuple[float, int]:
        line_filter = f'|~ "(?i){text}"' if ignore_case else f'|= "{text}"'
        return self._lines(f"{_selector(trace_id)} {line_filter}", start_ns, end_ns, limit)

    def histogram(self, trace_id: str, start_ns: int, end_ns: int) -> tuple[float, dict[str, int]]:
        query = f'sum by (level) (count_over_time({_selector(trace_id)} |= "" [{STEP_SECONDS}s]))'
        took, body = self._query(query=query, start=start_ns, end=end_ns, step=STEP_SECONDS)
        result = json.loads(body)["data"]["result"]
        return took, {each["metric"]["level"]: sum(int(v) for _, v in each["values"]) for each in result}

    def _lines(self, query: str, start_ns: int, end_ns: int, limit: int) -> tuple[float, int]:
        took, body = self._query(query=query, start=start_ns, end=end_ns, limit=limit, direction="backward")
        return took, sum(len(stream["values"]) for stream in json.loads(body)["data"]["result"])

    def _query(self, **params: object) -> tuple[float, bytes]:
        return self._connection.get("/loki/api/v1/query_range", **params)


class VictoriaLogsClient:
    """VictoriaLogs: pushes by its Loki path, queries in LogsQL."""

    def __init__(self, url: str) -> None:
        self._connection = Connection(url)

    def push(self, body: bytes) -> None:
        self._connection.push("/insert/loki/api/v1/push?disable_message_parsing=1", body)

    def page(self, trace_id: str, start_ns: int, end_ns: int, limit: int) -> tuple[float, int]:
        return self._lines(_selector(trace_id), start_ns, end_ns, limit)

    def search(
        self, trace_id: str, start_ns: int, end_ns: int, limit: int, text: str, *, ignore_case: bool = False
    ) -> tuple[float, int]:
        # A part of a line, as with Loki's |=: LogsQL's phrases begin and end with words.
        expression = f"(?i){text}" if ignore_case else text
        return self._lines(f'{_selector(trace_id)} ~"{expression}"', start_ns, end_ns, limit)

    def histogram(self, trace_id: str, start_ns: int, end_ns: int) -> tuple[float, dict[str, int]]:
        took, body = self._connection.get(
            "/select/logsql/hits",
            query=_selector(trace_id),
            start=_seconds(start_ns),
            end=_seconds(end_ns),
            step=f"{STEP_SECONDS}s",
            field="level",
        )
        counts: Counter[str] = Counter()
        for hits in json.loads(body)["hits"]:
            counts[hits["fields"]["level"]] += sum(hits["values"])
        return took, dict(counts)

    def _lines(self, query: str, start_ns: int, end_ns: int, limit: int) -> tuple[float, int]:
        took, body = self._connection.get(
            "/select/logsql/query", query=query, start=_seconds(start_ns), end=_seconds(end_ns), limit=limit
        )
        return took, body.count(b"\n")


def _selector(trace_id: str) -> str:
    return f'{{traceId="{trace_id}"}}'


def _seconds(time_ns: int) -> str:
    return f"{time_ns // 10**9}.{time_ns % 10**9:09}"
