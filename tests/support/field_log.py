"""Real logs of failed starts (tests/data/field-starts), as the agent would ship them."""

from pathlib import Path
from typing import Any

from tracetail.agent.dry_run import FilePlan, dry_run
from tracetail.agent.settings import AgentSettings

_STARTS = Path(__file__).parents[1] / "data" / "field-starts"
_PLAN = FilePlan({}, is_segment=False, plain=False, ids_from_lines=False, followed=True, first_seen_ns=None)


def shipped_lines(case: str) -> list[dict[str, Any]]:
    """Return the lines of a case as `agent try --json` does: time, line and metadata."""
    return list(dry_run((_STARTS / case / "log").read_bytes(), _PLAN, AgentSettings()))
