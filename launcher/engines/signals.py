"""The signals that end a server or one of its processes: code, text and hint of each."""

import signal
from typing import NamedTuple

from tracetail.launcher.engines.causes.cause import Text


class Death(NamedTuple):
    """Why a process was ended by a signal."""

    code: str
    hint: Text


_DEATHS = {
    "SIGKILL": Death(
        "killed",
        Text(
            "the kernel's OOM killer (see dmesg, and the memory limit of the container), somebody's kill -9, or "
            "Kubernetes: kubectl describe pod shows OOMKilled, an eviction, a failed probe",
            "内核的 OOM killer（查看 dmesg 和容器的内存上限），有人执行了 kill -9，或 Kubernetes："
            "kubectl describe pod 会显示 OOMKilled、驱逐（Evicted）或探针失败",
        ),
    ),
    "SIGTERM": Death(
        "terminated",
        Text(
            "somebody asked it to stop: a person, a scheduler, a time limit, a probe of Kubernetes that failed "
            "(kubectl describe pod) or a shutdown of the machine",
            "有人要求它停止：人工操作、调度系统、时限、Kubernetes 探针失败（kubectl describe pod）或机器关机",
        ),
    ),
    "SIGINT": Death("interrupted", Text("somebody pressed Ctrl-C or sent SIGINT", "有人按了 Ctrl-C 或发送了 SIGINT")),
    "SIGHUP": Death("hung_up", Text("its terminal or session was closed", "它的终端或会话被关闭")),
    "SIGSEGV": Death(
        "segmentation_fault",
        Text(
            "native code crashed: check that driver, CUDA or CANN, PyTorch and the engine fit together; a core dump "
            "or PYTHONFAULTHANDLER=1 in `environ` names the place",
            "本地代码崩溃：检查驱动、CUDA 或 CANN、PyTorch 与引擎的版本是否匹配；core dump 或在 `environ` 中设置 "
            "PYTHONFAULTHANDLER=1 可以定位",
        ),
    ),
    "SIGILL": Death(
        "illegal_instruction",
        Text(
            "the program was built for another CPU: this one lacks an instruction (AVX2, AVX512); use another build",
            "程序是为其他 CPU 编译的：本机缺少某条指令（AVX2、AVX512 等）；请使用适合本机的版本",
        ),
    ),
    "SIGABRT": Death(
        "aborted",
        Text("native code gave up: the last lines of the log say why", "本地代码主动中止：原因见日志的最后几行"),
    ),
    "SIGBUS": Death(
        "bus_error",
        Text(
            "a mapped file was cut short, or /dev/shm is full: enlarge it (docker run --shm-size), check the disk",
            "映射的文件被截断，或 /dev/shm 已满：扩大它（docker run --shm-size），并检查磁盘",
        ),
    ),
    "SIGFPE": Death("arithmetic_error", Text("native code divided by zero", "本地代码发生除零错误")),
    "SIGSYS": Death(
        "forbidden_system_call",
        Text(
            "a seccomp filter forbids a system call: check the container's profile",
            "seccomp 禁止了系统调用：检查容器的配置",
        ),
    ),
}
_OTHER = Death("killed_by_signal", Text("see signal(7)", "参见 signal(7)"))


def name_of(number: int) -> str:
    """Return a signal's name: SIGKILL for 9; SIG37 for a real-time signal, which has no name of its own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def number_of(name: str) -> int:
    """Return a signal's number: 9 for SIGKILL, 37 for SIG37."""
    return signal.Signals[name].value if name in signal.Signals.__members__ else int(name.removeprefix("SIG"))


def cause_of(number: int) -> Death:
    """Return why a process ends with this signal."""
    return _DEATHS.get(name_of(number), _OTHER)


def all_deaths() -> dict[str, Death]:
    """Return the known signals by name."""
    return dict(_DEATHS)
