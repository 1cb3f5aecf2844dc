"""Records launches that were refused before there was a server, so that their trace is not empty."""

from pathlib import Path

from tracetail.contract import events, record
from tracetail.contract.masking import mask_text
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.launcher.log.log_end import append_event
from tracetail.launcher.operations import keeper_process, new_launch
from tracetail.launcher.params import Params
from tracetail.launcher.result import Refusal


def refuse(params: Params, state_dir: Path, refusal: Refusal) -> Record | None:
    """Record a launch that was refused, and report it; return its record, or None if that cannot be written."""
    try:
        return refuse_made(params, new_launch.make_launch(params, state_dir), refusal)
    except OSError:
        return None


def refuse_made(params: Params, made: tuple[LaunchDir, LaunchLock, Record], refusal: Refusal) -> Record:
    """Record and report the refusal of a launch that make_launch() returned; return its record. Raises OSError."""
    launch, lock, draft = made
    zh = (mask_text(refusal.zh[0]), mask_text(refusal.zh[1]))
    refusal = Refusal(refusal.status, mask_text(refusal.cause), mask_text(refusal.hint), refusal.code, zh)
    with lock:
        draft["state"] = record.FAILED
        draft["endedAt"] = draft["startedAt"]
        log_refusal(draft, refusal)
        lock.write(draft)
    keeper_process.report(launch, record.FAILED, params.callback_url, params.callback_token_file)
    return draft


def log_refusal(draft: Record, refusal: Refusal) -> None:
    """Write into a launch's log, and into the draft of its record, why there is no server."""
    draft["exit"] = {
        "code": None,
        "signal": None,
        "exitStatus": refusal.status,
        "cause": refusal.cause,
        "hint": refusal.hint,
        "causeCode": refusal.code,
        "causeKind": "known",
        "causeZh": refusal.zh[0] or refusal.cause,
        "hintZh": refusal.zh[1] or refusal.hint,
    }
    append_event(
        draft,
        events.REFUSED,
        exitStatus=refusal.status,
        cause=refusal.cause,
        hint=refusal.hint or None,
        causeCode=refusal.code,
        causeKind="known",
        causeZh=refusal.zh[0] or None,
        hintZh=refusal.zh[1] or None,
        launchId=draft["launchId"],
        service=draft["service"],
        env=draft["env"],
        engine=draft["engine"],
        model=draft["modelName"],
        servedName=draft["servedName"],
        host=draft["host"],
        port=draft["port"],
        nodes=draft.get("nodes"),
        nodeRank=draft.get("nodeRank"),
        role=draft.get("role"),
        jobId=draft["jobId"] or None,
    )
