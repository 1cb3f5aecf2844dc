"""A Python that has imported tracetail and forks a process for each command: run by support/commands.py.

On the socket whose descriptor is its argument it gets requests: eight bytes, the length of the JSON object that
follows with `words`, `environ`, `cwd` and `umask`, and with them the descriptors of stdin, stdout, stderr and of a
socket, on which it returns the process's id and, when it has ended, its wait status, as lines. It ends with its peer.
"""

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path


def main() -> None:
    import_commands()
    gc.collect()
    gc.freeze()  # else every fork would copy the pages whose objects its first collection looks at
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        become(request)
        end(run())


def import_commands() -> None:
    for name in ("tracetail.agent.service", "tracetail.store.service", "tracetail.cli.main"):
        importlib.import_module(name)
    for package in ("tracetail.cli", "tracetail.cli.launch"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, package + "."):
            if module.name != "tracetail.cli.reference":
                importlib.import_module(module.name)


def serve(control: socket.socket) -> dict | None:
    """Fork a process for each request; return its request in the process, None at the end in the server."""
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is control:
                request, descriptors = receive(control)
                if request is None:
                    return None
                *streams, report = descriptors
                pid = os.fork()
                if pid == 0:
                    selector.close()
                    for target, stream in enumerate(streams):
                        os.dup2(stream, target)
                    control.detach()
                    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
                    return request
                for stream in streams:
                    os.close(stream)
                os.write(report, b"%d\n" % pid)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))
            else:
                selector.unregister(key.fileobj)
                os.close(key.fd)
                pid, report = key.data
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    os.write(report, b"%d\n" % os.waitpid(pid, 0)[1])
                os.close(report)


def receive(control: socket.socket) -> tuple[dict | None, list[int]]:
    length, descriptors, _, _ = socket.recv_fds(control, 8, 4)
    if not length:
        return None, []
    left = int.from_bytes(length, "big")
    parts = []
    while left:
        parts.append(control.recv(min(left, 1 << 20)))
        left -= len(parts[-1])
    return json.loads(b"".join(parts)), descriptors


def become(request: dict) -> None:
    """Make this process what `python -m tracetail` would be with these words."""
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environ"])
    time.tzset()
    sys.argv = ["-m", *request["words"]]
    Path("/proc/self/comm").write_text(" ".join(request["words"]))  # what top shows
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for name, descriptor, errors in (("stdout", 1, None), ("stderr", 2, "backslashreplace")):
        stream = io.TextIOWrapper(io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)), errors=errors)
        stream.reconfigure(line_buffering=descriptor == 2 or stream.isatty(), write_through=unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))


def run() -> int:
    """Run the module, and return the exit status that Python would end with."""
    try:
        runpy.run_module("tracetail", run_name="__main__", alter_sys=True)
    except SystemExit as ending:
        if ending.code is None or isinstance(ending.code, int):
            return ending.code or 0
        print(ending.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        return 1
    return 0


def end(status: int) -> None:
    """Do what Python does at its end, but for taking down every module: that takes longer than most commands."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    main()
