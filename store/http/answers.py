"""Responses in Loki's formats: JSON for results, text for errors."""

from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from tracetail.store.http.streams_json import encode_streams
from tracetail.store.query.aggregate import Series, Steps, number_text
from tracetail.store.query.log_query import Entry


def text_answer(status: int, text: str) -> web.Response:
    """Return a response of one or more lines of text, the format of Loki's errors."""
    return web.Response(status=status, text=text.rstrip("\n") + "\n")


def json_answer(body: bytes) -> web.Response:
    """Return a JSON response."""
    return web.Response(body=body, content_type="application/json")


def success_answer(data: Sequence[Any], *, always: bool = False) -> web.Response:
    """Return a response with data. As in Loki, the key is missing if data is empty, unless always."""
    return json_answer(orjson.dumps({"status": "success", "data": data} if data or always else {"status": "success"}))


def _result(kind: str, result: list[Any]) -> bytes:
    return orjson.dumps({"status": "success", "data": {"resultType": kind, "result": result, "stats": {}}})


def streams_json(entries: list[Entry]) -> bytes:
    """Return entries as a result of type streams: grouped by all their labels."""
    streams = encode_streams(entries)
    return b'{"status":"success","data":{"resultType":"streams","result":' + streams + b',"stats":{}}}'


def matrix_json(series: Series, steps: Steps) -> bytes:
    """Return the samples of a range query as a result of type matrix."""
    return _result(
        "matrix",
        [
            {
                "metric": dict(labels),
                "values": [
                    (_seconds(steps.first + k * steps.step), number_text(v)) for k, v in sorted(values.items())
                ],
            }
            for labels, values in sorted(series.items())
        ],
    )


def vector_json(series: Series, at: int) -> bytes:
    """Return the samples of an instant query as a result of type vector."""
    return _result(
        "vector",
        [
            {"metric": dict(labels), "value": (_seconds(at), number_text(values[0]))}
            for labels, values in sorted(series.items())
        ],
    )


def _seconds(time_ns: int) -> float:
    millis = time_ns // 10**6
    return millis // 1000 if millis % 1000 == 0 else millis / 1000
