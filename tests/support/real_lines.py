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

STAMPS = {
    "compose": "vllm-1  | ",
    "docker": "2025-06-18T08:00:00.561897123Z ",
    "systemd": "Jun 18 08:00:00 host-1 vllm[812]: ",
    "rsyslog": "2025-06-18T08:00:00.561897+02:00 host-1 vllm[812]: ",
    "systemd in Chinese": "6月 18 08:00:00 host-1 vllm[812]: ",
}
"""What `docker compose up`, `docker logs --timestamps`, `journalctl` and rsyslog put in front of every line."""
