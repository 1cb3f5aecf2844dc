"""Huawei's Ascend NPUs, as `npu-smi info` prints them: their memory, by process, their load and temperature.

The tables differ by version and chip; examples are in tests/data/npu-smi. A chip has two rows: number and name,
health, then power, temperature and huge pages; the chip within the card, its bus, then load and memory. Chips of the
310 family have one column of memory, those of the 910 family a second one, their HBM, in which the models are.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tracetail.contract.nvml import MemoryUse

PROGRAM = "npu-smi"
TIMEOUT_SECONDS = 20.0
"""It asks each card in turn."""
_MIB = 1024 * 1024
_HOST_PID_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO (linux/proc_ns.h): the namespace of the machine's own processes."""
_CARD = re.compile(r"(\d+) +(\S+)")
_CHIP = re.compile(r"(\d+)(?: +(\d+))?")
_BUS = re.compile(r"NA|[0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.\d")
_USAGE = re.compile(r"(\d+) */ *(\d+)")


class Npu(NamedTuple):
    """One chip."""

    card: int
    chip: int
    """Its number within the card."""
    name: str
    temperature: float | None
    """Degrees Celsius."""
    utilization: float | None
    """Share of its AI cores' time, 0 to 1."""
    used_bytes: int
    total_bytes: int


class Report(NamedTuple):
    """What one call prints."""

    npus: Sequence[Npu]
    """In the order in which ASCEND_RT_VISIBLE_DEVICES counts them."""
    uses: Sequence[MemoryUse]


def parse(output: str, *, in_container: bool = False) -> Report:
    """Return what `npu-smi info` printed.

    Args:
        output: its output.
        in_container: the pids are to be those of this container, where the tool knows them.

    """
    npus: list[Npu] = []
    uses: list[MemoryUse] = []
    card: tuple[int, str, list[str]] | None = None
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and card is not None and (chip := _chip(card, cells)) is not None:
            npus.append(chip)
            card = None
        elif len(cells) == 3 and (match := _CARD.fullmatch(cells[0])):
            card = int(match[1]), match[2], cells[2].split()
        elif len(cells) in (4, 5) and (use := _use(cells, npus, in_container=in_container)) is not None:
            uses.append(use)
    return Report(npus, uses)


def _chip(card: tuple[int, str, list[str]], cells: Sequence[str]) -> Npu | None:
    """Return the chip of which these are the second row's cells; None if they are not."""
    number, name, first = card
    match = _CHIP.fullmatch(cells[0])
    if match is None or not _BUS.fullmatch(cells[1]):
        return None
    usages = [(int(used), int(total)) for used, total in _USAGE.findall(cells[2])]
    used, total = usages[-1] if usages and usages[-1][1] else (usages or [(0, 0)])[0]
    load = _number(cells[2].split()[0]) if cells[2] else None
    temperature = _number(first[1]) if len(first) > 1 else None
    share = None if load is None else load / 100
    return Npu(number, int(match[1]), name, temperature, share, used * _MIB, total * _MIB)


def _use(cells: Sequence[str], npus: Sequence[Npu], *, in_container: bool) -> MemoryUse | None:
    """Return the memory that a row of the table of processes reports; None for any other row."""
    match = _CHIP.fullmatch(cells[0])
    pid = cells[4] if in_container and len(cells) == 5 and cells[4].isdigit() else cells[1]
    if match is None or not pid.isdigit() or not cells[3].isdigit():
        return None
    place = int(match[1]), int(match[2] or 0)
    device = next((at for at, npu in enumerate(npus) if (npu.card, npu.chip) == place), None)
    return None if device is None else MemoryUse(device, int(pid), int(cells[3]) * _MIB)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # NA, -
        return None


class Npus:
    """The NPUs of this machine."""

    tool = "npu-smi info"
    """Shows a person what holds a device."""

    def __init__(
        self, program: str, max_age_seconds: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take how to ask.

        Args:
            program: the path of npu-smi.
            max_age_seconds: for how long an answer serves: a call takes up to some seconds.
            clock: seconds, monotonic.

        """
        self._program = program
        self._max_age = max_age_seconds
        self._clock = clock
        self._asked_at: float | None = None
        self._report = Report((), ())

    @classmethod
    def find(cls, max_age_seconds: float = 0.0) -> "Npus | None":
        """Return the NPUs, or None where there is no npu-smi. It is not called yet: that takes seconds."""
        program = shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/local/bin:/usr/local/sbin")
        return None if program is None else cls(program, max_age_seconds)

    @property
    def count(self) -> int:
        """The number of chips."""
        return len(self._read().npus)

    def memory_uses(self) -> list[MemoryUse]:
        """Return the memory that processes hold now. Nothing, if npu-smi does not answer."""
        return list(self._read().uses)

    def utilization(self, device: int) -> dict[int, float] | None:
        """Return the load of a device by pid: the tool reports that of the whole device, which is split evenly."""
        report = self._read()
        share = report.npus[device].utilization if device < len(report.npus) else None
        pids = {use.pid for use in report.uses if use.device == device}
        return None if share is None else {pid: share / len(pids) for pid in pids}

    def temperature(self, device: int) -> float | None:
        """Return a device's temperature in degrees Celsius; None if it is not known."""
        npus = self._read().npus
        return npus[device].temperature if device < len(npus) else None

    def _read(self) -> Report:
        now = self._clock()
        if self._asked_at is None or now - self._asked_at > self._max_age:
            self._report = self._ask()
            self._asked_at = self._clock()
        return self._report

    def _ask(self) -> Report:
        try:
            done = subprocess.run(
                [self._program, "info"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return Report((), ())
        return parse(done.stdout.decode(errors="replace"), in_container=_in_container())


def _in_container() -> bool:
    try:
        return os.readlink("/proc/self/ns/pid") != _HOST_PID_NAMESPACE  # noqa: PTH115
    except OSError:
        return False
