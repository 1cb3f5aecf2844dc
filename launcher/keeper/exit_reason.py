"""The state and the reason with which a launch ended. Pure: observations in, the record's `exit` out."""

from typing import TYPE_CHECKING, Any, NamedTuple

from tracetail.contract import record
from tracetail.contract.logline import Event
from tracetail.launcher.keeper.child import Child
from tracetail.launcher.result import EXITED_BEFORE_READY, PORT_HELD

if TYPE_CHECKING:
    from tracetail.launcher.keeper.diagnosis import Finding


class Failure(NamedTuple):
    """Why a start failed although its server may run."""

    status: int
    """The exit status of `tracetail start`."""
    cause: str
    hint: str


def stopped(child: Child, stuck: str) -> record.Exit:
    """Return the exit of a server that was stopped. stuck: the processes that could not be ended; "" for none."""
    end: record.Exit = {"code": child.code, "signal": child.signal}
    if stuck:
        end["cause"] = f"processes do not end: {stuck}"
    return end


def failed(
    before: str,
    child: Child,
    failure: Failure | None,
    finding: "Finding | None",
    *,
    left_behind: int,
    port_holder: str,
) -> tuple[str, record.Exit]:
    """Return the state and the exit of a launch that ended without a stop.

    Args:
        before: the state before the end.
        child: the process that ended.
        failure: what the keeper itself found wrong.
        finding: the root cause that the log names.
        left_behind: how many processes of the launch were left when it ended.
        port_holder: which process holds the port, if the finding is about it, or if there is none.

    """
    end: record.Exit = {"code": child.code, "signal": child.signal}
    status = failure.status if failure else EXITED_BEFORE_READY
    if failure is None and (finding.about_port if finding else port_holder):
        status = PORT_HELD
    if finding is not None and not (failure and status == EXITED_BEFORE_READY):
        end["cause"] = f"{failure.cause}; {finding.cause}" if failure else finding.cause
        end["hint"] = f"{port_holder}: {finding.hint}" if port_holder else finding.hint
        end["evidence"] = finding.evidence
    elif failure:
        end["cause"] = failure.cause
        if failure.hint:
            end["hint"] = failure.hint
    else:
        end["cause"] = _cause_by_status(before, child, left_behind)
        if port_holder:
            end["cause"] = f"{port_holder}; the server {end['cause']}"
            end["hint"] = "stop it, or choose another port"
    if before == record.STARTING:
        end["exitStatus"] = status
        return record.FAILED, end
    return record.CRASHED, end


def to_event_fields(end: record.Exit) -> dict[str, Any]:
    """Return the fields of the events `failed` and `exited` for an exit; from_event reads them."""
    return {
        "exitCode": end["code"],
        "signal": end["signal"],
        "cause": end.get("cause"),
        "hint": end.get("hint"),
        "evidence": "\n".join(end.get("evidence", [])) or None,
    }


def from_event(event: Event) -> record.Exit:
    """Return the exit that an `exited` event describes."""
    fields = event.fields
    end: record.Exit = {
        "code": int(fields["exitCode"]) if "exitCode" in fields else None,
        "signal": fields.get("signal"),
    }
    if "cause" in fields:
        end["cause"] = fields["cause"]
    if "hint" in fields:
        end["hint"] = fields["hint"]
    if "evidence" in fields:
        end["evidence"] = fields["evidence"].split("\n")
    return end


def _cause_by_status(before: str, child: Child, left_behind: int) -> str:
    when = " before it was ready" if before == record.STARTING else ""
    if child.code is None and not child.signal:
        return f"ended{when}; its exit status is not known"
    if child.code == 0 and left_behind:
        return f"exited with status 0{when} and left {left_behind} processes: it must stay in the foreground"
    return child.describe_exit() + when
