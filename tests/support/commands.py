"""Runs `tracetail` commands as `python -m tracetail` does, in forks of a Python that has imported them.

Nine tenths of what starting an agent or running a short command costs is importing modules, and `make test` does so
thousands of times. What /proc has of such a process, its command line and environment, is the server's: a test
of that, of how a process starts, or of its memory starts a new Python instead (`command`).
"""

import asyncio
import atexit
import functools
import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = Path(__file__).with_name("fork_server.py")
_AT_START = ("LANG", "LC_", "LD_", "PYTHON")
"""How the variables begin that count when a Python starts: with others than ours a command gets its own Python."""
_OPTIONS = {"stdin", "stdout", "stderr", "text", "bufsize", "cwd"}
"""What a forked process is started with; for anything else a command gets its own Python too."""
_lock = threading.Lock()


def command(*words: str) -> list[str]:
    """Return the command that starts a new Python."""
    return [sys.executable, "-m", "tracetail", *map(str, words)]


def popen(*words: str, env: dict[str, str] | None = None, **options) -> subprocess.Popen:
    """Start a command. env, options: as those of `subprocess.Popen`."""
    environ = dict(os.environ) if env is None else env
    if _at_start(environ) != _at_start(os.environ) or options.keys() - _OPTIONS:
        return subprocess.Popen(command(*words), env=environ, **options)
    return _Forked(command(*words), env=environ, **options)


def _at_start(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environ.items() if name.startswith(_AT_START) and name != "PYTHONUNBUFFERED"
    }


def run(
    *words: str,
    input=None,  # noqa: A002
    timeout=None,
    check=False,
    **options,
) -> subprocess.CompletedProcess:
    """Run a command to its end, as `subprocess.run` does; its output is captured."""
    stdin = {} if input is None else {"stdin": subprocess.PIPE}
    with popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **stdin, **options) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
    completed = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        completed.check_returncode()
    return completed


async def create(*words: str, prefix: Sequence[str] = (), **options) -> "AsyncProcess":
    """Start a command in the running loop. prefix: the words of a program that starts it, in a Python of its own."""
    if prefix:
        process = subprocess.Popen([*prefix, *command(*words)], bufsize=0, **options)  # noqa: ASYNC220
    else:
        process = popen(*words, bufsize=0, **options)
    return await AsyncProcess.of(process)


class _Forked(subprocess.Popen):
    """A process that the server has forked, and whose end it reports: it is no child of ours."""

    def _execute_child(self, args, _executable, _preexec_fn, _close_fds, _pass_fds, cwd, env, *rest):
        pipes = rest[3:9]
        p2cread, _, _, c2pwrite, _, errwrite = pipes
        streams = [given if given != -1 else own for own, given in enumerate((p2cread, c2pwrite, errwrite))]
        self.report, theirs = socket.socketpair()
        request = json.dumps(
            {"words": args[3:], "environ": env, "cwd": str(cwd or Path.cwd()), "umask": _umask()}
        ).encode()
        with theirs, _lock:
            control, _server_process = _server()
            socket.send_fds(control, [len(request).to_bytes(8, "big")], [*streams, theirs.fileno()])
            control.sendall(request)
        self.pid = self._number()
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _number(self) -> int:
        line = b""
        while not line.endswith(b"\n"):
            byte = self.report.recv(1)
            if not byte:
                raise RuntimeError("the server that forks commands has ended: see its error above")
            line += byte
        return int(line)

    def _internal_poll(self, _deadstate=None):
        if self._waitpid_lock.acquire(blocking=False):  # else another thread waits
            try:
                self._look(0)
            finally:
                self._waitpid_lock.release()
        return self.returncode

    def _wait(self, timeout):
        with self._waitpid_lock:
            self._look(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _look(self, timeout):
        if self.returncode is None and select.select([self.report], [], [], timeout)[0]:
            self.returncode = os.waitstatus_to_exitcode(self._number())
            self.report.close()


class AsyncProcess:
    """A process with the interface of `asyncio.subprocess.Process`."""

    def __init__(self, process: subprocess.Popen) -> None:
        self._process = process
        self.pid = process.pid
        self.stdout = self.stderr = None
        self._end: asyncio.Task[None] | None = None

    @classmethod
    async def of(cls, process: subprocess.Popen) -> "AsyncProcess":
        found = cls(process)
        found.stdout = await _reader(process.stdout)
        found.stderr = await _reader(process.stderr)
        return found

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()

    def terminate(self) -> None:
        self._process.terminate()

    async def wait(self) -> int:
        if self._process.poll() is None and self._end is None:
            self._end = asyncio.ensure_future(self._ended())
        if self._end is not None:
            await asyncio.shield(self._end)
        return self._process.wait()

    async def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:  # it has ended meanwhile
            return
        loop.add_reader(descriptor, lambda: ended.done() or ended.set_result(None))
        try:
            await ended
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

    async def communicate(self) -> tuple[bytes | None, bytes | None]:
        async def rest(stream):
            return None if stream is None else await stream.read()

        out, err = await asyncio.gather(rest(self.stdout), rest(self.stderr))
        await self.wait()
        return out, err


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def _reader(pipe) -> asyncio.StreamReader | None:
    if pipe is None:
        return None
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


@functools.cache
def _server() -> tuple[socket.socket, subprocess.Popen]:
    """Return the socket of this process's server, and the server. It ends with this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", str(_SERVER), str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
    atexit.register(_end, ours, process)
    return ours, process


def _end(control: socket.socket, server: subprocess.Popen) -> None:
    control.close()
    server.wait()
