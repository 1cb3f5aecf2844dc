"""What the end of a launch was: stopped, crashed or failed, and why. Pure: what was seen goes in, words come out."""

from typing import NamedTuple

from tracetail.contract import record
from tracetail.launcher.keeper.child import Child
from tracetail.launcher.keeper.diagnosis import Finding
from tracetail.launcher.result import EXITED_BEFORE_READY


class Failure(NamedTuple):
    """Why a start failed though its server may run."""

    status: int
    """The exit status of `tracetail start`."""
    cause: str
    hint: str


def stopped(child: Child, stuck: str) -> record.Exit:
    """Return how a server ended that somebody had stopped. stuck: the processes that do not end, if any."""
    how: record.Exit = {"code": child.code, "signal": child.signal}
    if stuck:
        how["cause"] = f"processes do not end: {stuck}"
    return how


def failed(
    was: str, child: Child, failure: Failure | None, finding: Finding | None, *, left_behind: int, port_holder: str
) -> tuple[str, record.Exit]:
    """Return the state and the exit of a launch that ended though nobody asked for it.

    Args:
        was: the state before.
        child: how the process ended.
        failure: what the keeper itself found wrong.
        finding: the root cause that the log names.
        left_behind: how many processes were there after it.
        port_holder: who holds the port, if the finding is about it.

    """
    how: record.Exit = {"code": child.code, "signal": child.signal}
    status = failure.status if failure else EXITED_BEFORE_READY
    if finding is not None and not (failure and status == EXITED_BEFORE_READY):
        how["cause"] = f"{failure.cause}; {finding.cause}" if failure else finding.cause
        how["hint"] = f"{port_holder}: {finding.hint}" if port_holder else finding.hint
        how["evidence"] = finding.evidence
    elif failure:
        how["cause"] = failure.cause
        if failure.hint:
            how["hint"] = failure.hint
    else:
        how["cause"] = _how_it_ended(was, child, left_behind)
    if was == record.STARTING:
        how["exitStatus"] = status
        return record.FAILED, how
    return record.CRASHED, how


def _how_it_ended(was: str, child: Child, left_behind: int) -> str:
    before = " before it was ready" if was == record.STARTING else ""
    if child.code is None and not child.signal:
        return f"ended{before}, with nobody there to see its status"
    if child.code == 0 and left_behind:
        return f"exited with status 0{before} and left {left_behind} processes: it must stay in the foreground"
    return child.how() + before
