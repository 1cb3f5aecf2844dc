"""The diagnosis in a Python of its own, for a keeper beside which another version was installed while its server ran.

    python -I -m tracetail.launcher.keeper.diagnosis_process   reads JSON on stdin, prints the finding as JSON

The keeper has modules of its version in memory, and cannot import those of another among them.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tracetail.contract import masking
from tracetail.launcher.engines.causes.cause import Text
from tracetail.launcher.keeper.finding import End, Finding

_SECONDS_MAX = 30.0


def diagnose(engine: str, segments: Sequence[str], end: End, redaction: Mapping[str, Any]) -> Finding | None:
    """Return what the version that is installed now finds; None for nothing, and if it does not work.

    Args: engine: its name; redaction: of the launch's plan; the others as for diagnosis.diagnose_log().
    """
    question = {
        "engine": engine,
        "segments": segments,
        "code": end.code,
        "signal": end.signal,
        "redaction": redaction,
    }
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", __name__],
            input=json.dumps(question).encode(),
            stdout=subprocess.PIPE,
            timeout=_SECONDS_MAX,
            check=False,
        )
        return _finding(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, KeyError):
        return None


def _finding(answer: Mapping[str, Any] | None) -> Finding | None:
    """Return the finding in an answer, of which another version may have other fields."""
    if answer is None:
        return None
    known = {name: value for name, value in answer.items() if name in Finding._fields}
    return Finding(**{**known, "text": Text(*answer["text"]), "hint": Text(*answer["hint"])})


def main() -> None:
    """Answer the question on stdin."""
    from tracetail.launcher import engines  # noqa: PLC0415  (the keeper that asks has it, of its version)
    from tracetail.launcher.keeper.diagnosis import diagnose_log  # noqa: PLC0415

    question = json.load(sys.stdin)
    masking.use(question["redaction"])
    end = End(question["code"], question["signal"])
    found = diagnose_log(engines.load(question["engine"]), question["segments"], end)
    print(json.dumps(None if found is None else found._asdict()))  # noqa: T201  (the answer)


if __name__ == "__main__":
    main()
