"""Counts the agent's instructions a line, which do not depend on how fast or how busy the machine is.

    python bench/instructions.py [--check]

From a block of bytes to the bodies of push requests: parsing, redaction, protobuf, snappy. valgrind counts them in
one process, which has done the same lines twice before. They depend on Python and the C library, so they are given
relative to a loop over the same lines in plain Python, too. --check fails if that has changed by more than a tenth.
"""

import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tracetail.agent.model import Block
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.prepare import Preparer
from tracetail.agent.parsing.times import EngineTimes
from tracetail.contract.redaction import Redactor
from tracetail.loki.push import BodyBuilder

LINES = 6000
KINDS = ("reference", "stamped", "unstamped")
RECORDED = {"stamped": 2.12, "unstamped": 2.25}
"""Instructions a line, relative to the reference's: RECORDED_PYTHON, glibc 2.36, the loops compiled."""
RECORDED_PYTHON = (3, 11)
TOLERANCE = 1.1
COUNTER = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *kind) { CALLGRIND_DUMP_STATS_AT(kind); CALLGRIND_STOP_INSTRUMENTATION; }
"""
PREPARER = Preparer(Redactor(), structured_metadata=True, clock_ns=time.time_ns)
CACHE = HeaderCache()


def work(data: bytes, kind: str) -> None:
    """Do one round over the lines."""
    if kind == "reference":
        for line in data.split(b"\n"):
            _, bracket, rest = line.partition(b" [")
            if bracket:
                rest.partition(b"] ")
        return
    parser = LineParser(EngineTimes(time.time_ns()), CACHE, by_keeper=kind == "stamped")
    bodies = BodyBuilder({"job": "bench"}, 1 << 20)
    block = Block(data, 0, len(data), unfinished=False, behind=True)
    for prepared in PREPARER.prepare(parser, block, behind=True):
        for stream in prepared.streams:
            bodies.add(stream.entries, stream.rows)
    bodies.finish()


def measure() -> dict[str, float]:
    """Return instructions a line of each kind. Raises OSError, CalledProcessError without valgrind or a compiler."""
    sys.path.insert(0, str(Path(__file__).parent))
    from agent import lines  # noqa: PLC0415  (what it imports need not be counted)

    with tempfile.TemporaryDirectory() as directory:
        for kind in KINDS:
            Path(directory, kind).write_bytes(b"".join(lines(LINES, stamped=kind == "stamped")))
        source, library = Path(directory, "count.c"), Path(directory, "count.so")
        source.write_text(COUNTER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        command = [
            *("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={directory}/out"),
            *(sys.executable, __file__, "--work", directory),
        ]
        environ = os.environ | {"PYTHONHASHSEED": "0"}
        subprocess.run(command, capture_output=True, check=True, env=environ)
        dumps = [path.read_text(errors="replace") for path in Path(directory).glob("out.*")]
    found = {}
    for dump in dumps:
        kind = re.findall(r"desc: Trigger: Client Request: (\w+)", dump)
        total = re.findall(r"^totals: (\d+)", dump, re.MULTILINE)
        if kind and total:
            found[kind[0]] = int(total[0]) / LINES
    return found


def work_counted(directory: Path) -> None:
    """Do each kind twice to warm up, and then once while valgrind counts."""
    count = ctypes.CDLL(str(directory / "count.so"))
    data = {kind: (directory / kind).read_bytes() for kind in KINDS}
    for kind in (*KINDS, *KINDS):
        work(data[kind], kind)
    gc.collect()
    gc.disable()
    for kind in KINDS:
        count.begin()
        work(data[kind], kind)
        count.end(kind.encode())


def main() -> None:
    """Measure and print; with --check, fail if a kind's cost has changed by more than 10 % since it was recorded."""
    if sys.argv[1:2] == ["--work"]:
        work_counted(Path(sys.argv[2]))
        return
    found = measure()
    print(json.dumps({kind: round(count) for kind, count in found.items()}))
    check = "--check" in sys.argv
    if check and sys.version_info[:2] != RECORDED_PYTHON:
        print(f"not compared: the record is of Python {'.'.join(map(str, RECORDED_PYTHON))}, this is {sys.version}")
        check = False
    for kind in KINDS[1:]:
        ratio = found[kind] / found["reference"]
        change = ratio / RECORDED[kind]
        print(f"{kind}: {found[kind]:,.0f} a line, {ratio:.2f} of the reference's ({change:.2f} of the record)")
        if check and not 1 / TOLERANCE <= change <= TOLERANCE:
            raise SystemExit(
                f"{kind} lines cost other than recorded: find out why, or record it in {Path(__file__).name}"
            )


if __name__ == "__main__":
    main()
