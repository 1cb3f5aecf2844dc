"""What a real Loki was asked and what it answered (tests/data/loki-contract), and how answers are compared."""

import json
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "loki-contract"
PUSHES = json.loads((DATA / "pushes.json").read_text())
CASES = json.loads((DATA / "cases.json").read_text())
UNSUPPORTED = (
    "unwrap",
    "quantile_over_time",
    "topk",
    "| pattern",
    "line_format",
    "/format_query",
    "/detected_",
    "/index/",
)
ANY_AGE = {"reject_older_than_days": 0, "reject_newer_than_minutes": 0, "retention_days": 0}


def ask(store, request):
    return store.call(
        request["method"],
        request["path"],
        request.get("params"),
        body=request.get("body"),
        headers=request.get("headers"),
    )


def is_unsupported(case):
    asked = case["request"]["path"] + " " + str(case["request"].get("params", {}).get("query", ""))
    return any(word in asked for word in UNSUPPORTED)


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def comparable(answer):
    """Return an answer without what may differ: the order of results and labels, stats, detected_level."""
    data = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(data, list):
        return sorted(json.dumps(item, sort_keys=True) for item in data)
    if not isinstance(data, dict):
        return answer
    kind, result = data["resultType"], data["result"]
    if kind == "streams":
        # The order of entries with the same time in one stream counts.
        return kind, sorted((labels_of(s["stream"]), *v) for s in result for v in s["values"])
    return kind, sorted((labels_of(s["metric"]), json.dumps(s.get("values") or s.get("value"))) for s in result)


def labels_of(labels):
    return sorted((name, value) for name, value in labels.items() if name != "detected_level")
