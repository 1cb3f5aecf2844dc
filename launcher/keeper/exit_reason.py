"""The state and the reason with which a launch ended: observations in, the record's `exit` out."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tracetail.contract import record
from tracetail.contract.logline import Event
from tracetail.contract.system_reasons import in_chinese
from tracetail.launcher.engines import Engine, signals
from tracetail.launcher.engines.causes.cause import Text
from tracetail.launcher.keeper import diagnosis_process
from tracetail.launcher.keeper.child import Child
from tracetail.launcher.keeper.end_facts import OUT_OF_MEMORY, EndFact
from tracetail.launcher.keeper.finding import KNOWN, NO_END, UNRECOGNISED, End, Finding
from tracetail.launcher.result import EXITED_BEFORE_READY, PORT_HELD

_TEXT_FIELDS: tuple[Literal["cause", "hint", "causeCode", "causeKind", "causeZh", "hintZh"], ...] = (
    "cause",
    "hint",
    "causeCode",
    "causeKind",
    "causeZh",
    "hintZh",
)
_SHELL_STATUS = {
    126: (
        "program_missing",
        Text("exited with status 126: a program cannot be executed", "以状态 126 退出：程序无法执行"),
        Text("check its permission, and that it was built for this machine", "检查执行权限，以及程序是否适用于本机"),
    ),
    127: (
        "program_missing",
        Text("exited with status 127: a program was not found", "以状态 127 退出：找不到程序"),
        Text("check `command` and PATH", "检查 `command` 和 PATH"),
    ),
}
"""What a shell's exit status says."""
_UNEXPLAINED = frozenset({"exited", "killed", "bus_error", "aborted", "segmentation_fault"})
"""Codes of an end by a status or a signal alone."""


class Failure(NamedTuple):
    """Why a start failed although its server may run."""

    status: int
    """The exit status of `tracetail start`."""
    cause: str
    hint: str
    code: str = "not_started"
    """Of the cause, as in docs/causes.md."""
    cause_zh: str = ""
    hint_zh: str = ""


def cannot_start(program: str, reason: str | None) -> Failure:
    """Return the failure of a server whose program cannot be executed. reason: as the system says it."""
    cause, cause_zh = f"cannot run {program}: {reason}", f"无法执行 {program}：{in_chinese(reason)}"
    hint, hint_zh = "check the path and its execute permission", "检查路径和执行权限"
    return Failure(EXITED_BEFORE_READY, cause, hint, "program_missing", cause_zh, hint_zh)


def pre_start_failed(how: str) -> Failure:
    """Return the failure of a start whose preStart failed. how: as Child.describe_exit says it."""
    hint, hint_zh = "its output is in the log", "其输出在日志中"
    return Failure(
        EXITED_BEFORE_READY, f"preStart failed: {how}", hint, "pre_start_failed", f"preStart 失败：{how}", hint_zh
    )


def diagnose(
    engine: Engine,
    segments: Sequence[str],
    child: Child,
    failure: Failure | None,
    port: int | None,
    redaction: Mapping[str, Any],
) -> Finding | None:
    """Return the cause that the log names; None if it names none.

    Args:
        engine: what the server is.
        segments: the paths of the log's segments.
        child: the process that ended.
        failure: what the keeper itself found wrong.
        port: the server's port. A finding about another port, an internal one, is not about it.
        redaction: what is masked, as the plan says.

    """
    end = End(child.code, child.signal) if failure is None else NO_END
    try:  # the tables of causes are imported now: the keeper stays small as long as its server runs
        from tracetail.launcher.keeper import diagnosis  # noqa: PLC0415

        found = diagnosis.diagnose_log(engine, segments, end)
    except (ImportError, AttributeError, TypeError):  # another version was installed while the server ran
        found = diagnosis_process.diagnose(engine.name, segments, end, redaction)
    if found is not None and found.about_port and found.port not in (None, port):
        return found._replace(about_port=False)
    return found


def is_about_port(before: str, finding: Finding | None) -> bool:
    """Return whether the end may be about the port: the log says so, or does not say what it was about."""
    if finding is None or finding.kind == UNRECOGNISED:
        return before == record.STARTING
    return finding.about_port


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
    finding: Finding | None,
    *,
    left_behind: int,
    port_holder: Text,
    in_foreground: bool = False,
) -> tuple[str, record.Exit]:
    """Return the state and the exit of a launch that ended without a stop.

    Args:
        before: the state before the end.
        child: the process that ended.
        failure: what the keeper itself found wrong.
        finding: the root cause that the log names.
        left_behind: how many processes of the launch were left when it ended.
        port_holder: which process holds the port, if the finding is about it, or names no known cause.
        in_foreground: the launch is one of `tracetail run`.

    """
    end: record.Exit = {"code": child.code, "signal": child.signal}
    status = failure.status if failure else EXITED_BEFORE_READY
    found = _when(before, finding or _by_status(child, left_behind, in_foreground=in_foreground))
    if failure is not None:
        found = _of_failure(failure, finding if status != EXITED_BEFORE_READY else None)
    elif found.about_port:
        status, found = PORT_HELD, _with_holder(found, port_holder)
    elif port_holder.en and found.kind == UNRECOGNISED:
        status, found = PORT_HELD, _lost_port(found, port_holder)
    _add(end, found)
    if before == record.STARTING:
        end["exitStatus"] = status
        return record.FAILED, end
    return record.CRASHED, end


def _with_holder(finding: Finding, port_holder: Text) -> Finding:
    """Return a finding about the port, whose hint names the process that holds it."""
    if not port_holder.en:
        return finding
    english, chinese = f"{port_holder.en}: {finding.hint.en}", f"{port_holder.zh}：{finding.hint.zh}"
    return finding._replace(hint=Text(english, chinese))


def _lost_port(finding: Finding, port_holder: Text) -> Finding:
    """Return the cause of a server that did not say why it ended, while another process has taken its port."""
    english, chinese = (
        f"{port_holder.en}; the server: {finding.text.en}",
        f"{port_holder.zh}；服务：{finding.text.zh}",
    )
    text = Text(english, chinese)
    hint = Text("stop it, or choose another port", "停止它，或换一个端口")
    return finding._replace(code="port_in_use", kind=KNOWN, text=text, hint=hint)


def _add(end: record.Exit, finding: Finding) -> None:
    """Put a cause into an exit."""
    end["cause"], end["causeZh"] = finding.text
    end["causeCode"], end["causeKind"] = finding.code, finding.kind
    if finding.hint.en:
        end["hint"], end["hintZh"] = finding.hint
    if finding.evidence:
        end["evidence"] = finding.evidence


def _of_failure(failure: Failure, finding: Finding | None) -> Finding:
    """Return what the keeper found wrong, with what the log says of it."""
    text = Text(failure.cause, failure.cause_zh or failure.cause)
    hint = Text(failure.hint, failure.hint_zh or failure.hint)
    if finding is None:
        return Finding(failure.code, KNOWN, text, hint, [])
    if finding.kind != KNOWN:
        return Finding(failure.code, KNOWN, text, hint, finding.evidence)
    return finding._replace(text=Text(f"{text.en}; {finding.text.en}", f"{text.zh}；{finding.text.zh}"))


def _when(before: str, finding: Finding) -> Finding:
    """Return a finding that says of the server's own end that it was not ready yet."""
    if not finding.own_end or before != record.STARTING:
        return finding
    return finding._replace(text=Text(f"{finding.text.en} before it was ready", f"就绪之前{finding.text.zh}"))


def signal_of(finding: Finding | None, child: Child) -> str | None:
    """Return the signal that ended the server, or that a finding reports of one of its processes; None for none."""
    reported = {"killed": "SIGKILL", "bus_error": "SIGBUS"}
    return child.signal or (reported.get(finding.code) if finding is not None else None)


def unrecognised_error(finding: Finding | None) -> str:
    """Return the error that the log names, if it is none of the known causes; "" for none."""
    return finding.cause if finding is not None and finding.kind == UNRECOGNISED and not finding.own_end else ""


def is_killed(child: Child) -> bool:
    """Return whether SIGKILL ended the server, or what a shell ran as the server."""
    return End(child.code, child.signal).number == signals.number_of("SIGKILL")


def weigh(finding: Finding | None, facts: Sequence[EndFact], *, killed: bool = False) -> Finding | None:
    """Return what explains the end best: the log's finding, or a fact that the log cannot have.

    A certain fact wins unless the log names a known root cause, or that somebody asked for the end and the fact does
    not say who. Another one wins if the log says nothing, and else goes into the hint of an error that is not among
    the known causes.

    killed: whether SIGKILL ended the server. What the kernel says of its memory then wins over every error of the
    log, which the server had survived. MindIE ends itself by SIGKILL, too: where the kernel says nothing.
    """
    for fact in facts:
        if killed and fact.certain and fact.code == OUT_OF_MEMORY and (not finding or finding.code != OUT_OF_MEMORY):
            return Finding(fact.code, KNOWN, Text(*fact.cause), Text(*fact.hint), list(fact.evidence))
        if finding is None or _yields(finding, fact):
            evidence = [*fact.evidence, *(finding.evidence if finding else ())]
            return Finding(fact.code, KNOWN, Text(*fact.cause), Text(*fact.hint), evidence)
        if finding.kind == UNRECOGNISED:
            hint = Text(f"{fact.cause[0]}: {fact.hint[0]}", f"{fact.cause[1]}：{fact.hint[1]}")
            return finding._replace(hint=hint)
    return finding


def _yields(finding: Finding, fact: EndFact) -> bool:
    """Return whether a fact says more than a finding, which may only be what an end from outside leads to."""
    if finding.code in _UNEXPLAINED or (fact.names_who and finding.own_end):
        return True
    return fact.certain and (finding.kind == UNRECOGNISED or finding.consequence)


def to_event_fields(end: record.Exit) -> dict[str, Any]:
    """Return the fields of the events `failed` and `exited` for an exit; from_event reads them."""
    return {
        "exitCode": end["code"],
        "signal": end["signal"],
        "evidence": "\n".join(end.get("evidence", [])) or None,
        **{name: end.get(name) for name in _TEXT_FIELDS},
    }


def from_event(event: Event) -> record.Exit:
    """Return the exit that an `exited` event describes."""
    fields = event.fields
    end: record.Exit = {
        "code": int(fields["exitCode"]) if "exitCode" in fields else None,
        "signal": fields.get("signal"),
    }
    for name in _TEXT_FIELDS:
        if name in fields:
            end[name] = fields[name]
    if "evidence" in fields:
        end["evidence"] = fields["evidence"].split("\n")
    return end


def _by_status(child: Child, left_behind: int, *, in_foreground: bool) -> Finding:
    """Return the cause of an end that the log does not explain."""
    none = Text("", "")
    if child.code is None and not child.signal:
        text = Text("ended with an exit status that is not known", "已结束，退出状态未知")
        hint = Text(
            "its first keeper had died, too: a scheduler at the end of its job, a restart of its worker and the OOM "
            "killer end both",
            "其最初的 keeper 也已结束：调度器在任务结束时、其 worker 重启时以及 OOM killer 都会同时结束二者",
        )
        if in_foreground:
            hint = Text(
                "`tracetail run` was killed with it: by docker kill, a stop that allowed less than stopTimeoutSec, "
                "the container's memory limit, or the machine's end: see docker inspect or kubectl describe pod",
                "`tracetail run` 与它一起被强制结束：docker kill、停止时限短于 stopTimeoutSec、容器内存上限或"
                "主机停机；docker inspect 或 kubectl describe pod 有更多信息",
            )
        return Finding("exited", UNRECOGNISED, text, hint, [], own_end=True)
    if child.code == 0 and left_behind:
        text = Text(
            f"exited with status 0 and left {left_behind} processes: it must stay in the foreground",
            f"以状态 0 退出，留下 {left_behind} 个进程：服务必须在前台运行",
        )
        hint = Text("start it without --daemon, nohup and &", "启动时不要使用 --daemon、nohup 和 &")
        return Finding("not_in_foreground", KNOWN, text, hint, [])
    if child.code in _SHELL_STATUS:
        code, text, hint = _SHELL_STATUS[child.code]
        return Finding(code, KNOWN, text, hint, [], own_end=True)
    text = Text(child.describe_exit(), f"以状态 {child.code} 退出")
    return Finding("exited", UNRECOGNISED, text, none, [], own_end=True)
