"""Runs commands of tracetail on this machine."""

import contextlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import IO, Any, NamedTuple

from tracetail.client.cancellation import ended_by_cancellation
from tracetail.client.errors import CommandError, WaitTimeoutError

_LAUNCH = re.compile(r"launch (\S+) of .+(?:, traceId |is already starting)")
"""The line by which `tracetail start` names the launch that it waits for."""
_NO_LINES = "no lines match"


class Finished(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    def result(self) -> dict[str, Any]:
        """Return the JSON object that it printed. Raises CommandError if there is none."""
        try:
            found = json.loads(self.stdout)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            printed = (self.stderr.strip() or self.stdout.strip() or "nothing")[-2000:]
            raise CommandError(f"tracetail ended with status {self.status}, and printed: {printed}")
        return found


class Commands:
    """Runs `tracetail` by this Python, with an environment of its own."""

    def __init__(self, environ: Mapping[str, str], config: str | None) -> None:
        """config: the configuration file; None for the usual places."""
        self._environ = {**environ, "TRACETAIL_LANG": "en", "PYTHONUNBUFFERED": "1"}
        # -P: a module of the working directory (a test's own click.py) is not imported in place of a library.
        self._command = [sys.executable, "-P", "-m", "tracetail", *(["--config", config] if config else [])]

    def run(self, *words: str) -> Finished:
        """Run a command to its end."""
        process = self._popen(words)
        with _ended_with(process):
            stdout, stderr = process.communicate()
        return Finished(process.returncode, stdout, stderr)

    def start(self, params: Mapping[str, Any]) -> "StartCommand":
        """Begin `tracetail start` with these parameters."""
        return StartCommand(self._popen(["start", "--json", "--params", "-"]), json.dumps(params))

    def lines(self, *words: str) -> Iterator[str]:
        """Yield the lines that a command prints; it is ended when the generator is closed. Raises CommandError."""
        process = self._popen(words)
        errors: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        reader = _collect(process.stderr, errors)
        closed = True
        try:
            with _ended_with(process):
                yield from process.stdout
                closed = False
        finally:
            if closed:
                process.terminate()
            status = process.wait()
            reader.join()
            process.stdout.close()
        if status > 0 and not any(_NO_LINES in line for line in errors):
            raise CommandError("".join(errors).strip()[-2000:] or f"tracetail ended with status {status}")

    def _popen(self, words: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, *words],
            env=self._environ,
            stdin=subprocess.PIPE if "-" in words else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a Ctrl-C is for the caller, who ends the command with care
        )


class StartCommand:
    """A `tracetail start` that runs."""

    def __init__(self, process: subprocess.Popen[str], stdin: str) -> None:
        self._process = process
        self._stderr: list[str] = []
        self._stdout: list[str] = []
        self._known = threading.Event()
        self._launch_id = ""
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdin is not None
        self._readers = [_collect(process.stdout, self._stdout)]
        self._readers.append(_start_thread(self._read_progress, process.stderr))
        try:
            process.stdin.write(stdin)
            process.stdin.close()
        except BrokenPipeError:  # it has ended already: its output says why
            pass

    def launch_id(self) -> str:
        """Wait until there is a launch, and return its id; "" if the start was refused before."""
        with self._stopping():
            self._known.wait()
        return self._launch_id

    def finished(self, timeout: float | None = None) -> Finished:
        """Wait for the end of the start. Raises WaitTimeoutError; an interrupt stops the launch that it has made."""
        with self._stopping():
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                message = f"launch {self._launch_id} is not ready after {timeout:g} s"
                raise WaitTimeoutError(message, hint="it goes on: wait again, or stop it") from None
        for reader in self._readers:
            reader.join()
        return Finished(self._process.returncode, "".join(self._stdout), "".join(self._stderr))

    def _read_progress(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._stderr.append(line)
                if match := _LAUNCH.match(line):
                    self._launch_id = match[1]
                    self._known.set()
        self._known.set()

    @contextlib.contextmanager
    def _stopping(self) -> Iterator[None]:
        """End the command, and with it its launch, if the wait for it is interrupted or cancelled."""
        try:
            with _ended_with(self._process):
                yield
        except Exception:
            raise
        except BaseException:
            self._process.terminate()
            self._process.wait()
            raise


def _ended_with(process: subprocess.Popen[str]) -> AbstractContextManager[None]:
    return ended_by_cancellation(process.terminate)


def _collect(stream: IO[str], found: list[str]) -> threading.Thread:
    def read(source: IO[str]) -> None:
        with source:
            found.extend(source)

    return _start_thread(read, stream)


def _start_thread(target: Any, stream: IO[str]) -> threading.Thread:
    thread = threading.Thread(target=target, args=(stream,), daemon=True, name="tracetail-output")
    thread.start()
    return thread
