"""Lines that inference servers printed, and what a reader finds in each header: tests/data/real-lines.jsonl.

`from` names the report or the recorded log that a line was taken from (some addresses and paths were changed), or the
program and setting that print such lines. `form` is the form in header_forms.FORMS, "" for a line that has none.
"""

import json
from pathlib import Path
from typing import Any

REAL_LINES: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "real-lines.jsonl").read_text(encoding="utf-8").splitlines()
]
