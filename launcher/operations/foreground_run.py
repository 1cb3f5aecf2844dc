"""`tracetail run`: makes a launch for the main command of a container, and becomes its keeper.

The process itself becomes the keeper by execve(2): PID 1 stays PID 1, and as small as any keeper.
"""

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from tracetail.contract.process_tag import KEEPER_TAG, LAUNCH_TAG
from tracetail.contract.record import LaunchDir, LaunchLock, Record
from tracetail.launcher import params_input, plan, registry
from tracetail.launcher.command_params import command_params
from tracetail.launcher.operations import keeper_process, new_launch, refusals, start
from tracetail.launcher.params import ParametersError, Params
from tracetail.launcher.result import LOCKED, Refusal
from tracetail.launcher.termination_log import write_termination_log

NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""Exit statuses of a shell for a command that it cannot run."""
STDOUT_ONLY_SEGMENT_MIB = 8
STDOUT_ONLY_SEGMENTS = 2
"""What is kept for the diagnosis of a log that goes to stdout only: it reads the last 4 MiB."""

_SHARED_HINT = "two containers share a state directory: give each its own"
_SHARED_HINT_ZH = "两个容器共用一个状态目录：给每个容器各自的目录"


def hold_stop_signals() -> None:
    """Keep SIGTERM and SIGINT until the keeper takes them: PID 1 would ignore them meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, plan.STOP_SIGNALS)


def parameters_of(command: list[str], given: Mapping[str, Any]) -> tuple[Params, str]:
    """Return the parameters of a launch for a command line, and the engine that it runs.

    Args:
        command: the command line.
        given: parameters that are known better than the command line says them; camelCase.

    Raises ParametersError.

    """
    values, engine = command_params(command, given)
    params = params_input.from_object(values)
    _refuse_what_the_runtime_does(params)
    return params, engine


def _refuse_what_the_runtime_does(params: Params) -> None:
    if params.restart != "never":
        raise ParametersError("restart is for `tracetail start`: in a container its runtime restarts the server")
    if params.container is not None:
        raise ParametersError("container is for `tracetail start`: `run` runs its command where it is itself")


def run(
    params: Params,
    engine: str,
    state_dir: Path,
    *,
    termination_log: str,
    stdout_only: bool,
    plain_stdout: bool,
    min_free_bytes: int,
) -> NoReturn:
    """Make the launch, and become its keeper.

    Args:
        params: of parameters_of().
        engine: likewise.
        state_dir: where launches are kept.
        termination_log: file for the cause of a failure; "" for Kubernetes' own, if it exists.
        plain_stdout: print the server's own lines, without stamp, ids and events.
        stdout_only: keep of the log only what the diagnosis needs.
        min_free_bytes: bytes to keep free on the disks of state and log.

    Raises Refusal, after it has been recorded, and OSError.

    """
    if stdout_only:
        params = msgspec.structs.replace(params, max_log_mb=STDOUT_ONLY_SEGMENT_MIB, keep_logs=STDOUT_ONLY_SEGMENTS)
    settings: plan.ForegroundPlan = {
        "terminationLog": termination_log,
        "plainStdout": plain_stdout,
        "stdoutOnly": stdout_only,
    }
    made = new_launch.make_launch(msgspec.structs.replace(params, engine=engine), state_dir)
    try:
        service = made[2]["service"]
        with registry.operation_lock(state_dir, service, {"action": "run", "traceId": made[2]["traceId"]}):
            _check_program(params.command[0], params.work_dir)
            _check_alone(params, state_dir, service)
            new_launch.prepare(params, state_dir, 0, min_free_bytes, made, {"foreground": settings})
    except registry.BusyError as busy:
        refusal = Refusal(LOCKED, str(busy), _SHARED_HINT, zh=(busy.zh[0], _SHARED_HINT_ZH))
        _refuse(params, made, refusal, termination_log)
        raise refusal from busy
    except Refusal as refusal:
        _refuse(params, made, refusal, termination_log)
        raise
    _become_keeper(*made[:2])


def _refuse(
    params: Params, made: tuple[LaunchDir, LaunchLock, Record], refusal: Refusal, termination_log: str
) -> None:
    refusals.refuse_made(params, made, refusal)
    hint = f"\nhint: {refusal.hint}" if refusal.hint else ""
    write_termination_log(termination_log, f"refused: {refusal.cause}{hint}\n")


def _check_program(program: str, work_dir: str) -> None:
    """Raise Refusal, with a shell's exit status, if there is no such program."""
    where = os.pathsep.join(os.get_exec_path())
    path = str(Path(work_dir or ".") / program) if "/" in program else program
    if shutil.which(path, path=where) is not None:
        return
    exists = shutil.which(path, os.F_OK, where) is not None
    raise Refusal(
        NOT_EXECUTABLE if exists else NOT_FOUND,
        f"{program} {'is not an executable file' if exists else 'was not found'}",
        "the command follows after `--`: check its name, and PATH in the image",
        "program_missing",
        (
            f"{program} {'不是可执行文件' if exists else '不存在'}",
            "命令写在 `--` 之后：检查它的名称，以及镜像中的 PATH",
        ),
    )


def _check_alone(params: Params, state_dir: Path, service: str) -> None:
    """Raise Refusal if the service runs already; report the end of a container before this one that said nothing."""
    running = start.find_running(state_dir, params)
    if running is not None:
        raise Refusal(
            LOCKED,
            f"{service} is {running.state} already (launch {running.record['launchId']})",
            _SHARED_HINT,
            zh=(f"{service} 已在运行，状态 {running.state}（启动 {running.record['launchId']}）", _SHARED_HINT_ZH),
        )


def _become_keeper(launch: LaunchDir, lock: LaunchLock) -> NoReturn:
    environ = {name: value for name, value in os.environ.items() if name != LAUNCH_TAG}
    environ[KEEPER_TAG] = launch.launch_id
    os.set_inheritable(lock.descriptor, True)
    sys.stdout.flush()
    sys.stderr.flush()
    argv = keeper_process.keeper_command(launch, lock, plan.FOREGROUND)
    os.execve(argv[0], argv, environ)  # noqa: S606  (it is our own interpreter)
