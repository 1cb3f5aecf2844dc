"""A stand-in for npu-smi, made from its recorded output (tests/data/npu-smi), for machines without NPUs."""

from pathlib import Path

RECORDED = Path(__file__).parents[1] / "data" / "npu-smi"
_NONE = "| No running processes found in NPU {card}".ljust(115) + "|"
_TITLE = (
    "| NPU     Chip              | Process id    | Process name       | Process memory(MB)    "
    "| Process id in container |"
)
_USE = "| {card:<7} 0                 | {pid:<13} | {name:<18} | {mib:<21} | NA                      |"


def make_npu_smi(directory: Path, source: Path) -> Path:
    """Make an npu-smi in a directory that prints the content of a file, whatever that is by then."""
    program = directory / "npu-smi"
    program.write_text(f'#!/bin/sh\n[ "$1" = info ] || exit 1\ncat "{source}"\n')
    program.chmod(0o755)
    return program


def with_processes(recorded: str, uses: list[tuple[int, int, int]]) -> str:
    """Return a recorded output of version 26 with these processes instead of its own: card, pid, MiB of each."""
    head, _, _ = recorded.partition("| NPU     Chip ")
    rows = [_USE.format(card=card, pid=pid, name="python", mib=mib) for card, pid, mib in uses]
    return head + "\n".join([_TITLE, *(rows or [_NONE.format(card=6)])]) + "\n"
