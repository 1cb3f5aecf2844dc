"""`tracetail run` as the main command of a container: output, signals, zombies, exit status, termination log."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from tracetail.launcher.engines.command_line import Recognised, recognise

COUNT_ZOMBIES = """
import os, subprocess, sys, time
reading, writing = os.pipe()
for _ in range(5):  # each leaves a child behind that ends when they are counted: PID 1 has to reap it
    subprocess.run(["sh", "-c", f"cat <&{reading} &"], pass_fds=[reading])
def orphans():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = open(f"/proc/{pid}/stat").read().rpartition(") ")[2].split()[:2]
        except OSError:
            continue
        if parent == "1" and int(pid) != os.getpid():
            found.append(state)
    return found
seen = len(orphans())
os.close(writing)
deadline = time.monotonic() + 10
while orphans() and time.monotonic() < deadline:
    time.sleep(0.02)
print(f"my parent is {os.getppid()}; orphans: {seen} at first, {len(orphans())} at last")
"""
ANSWER_SIGNALS = """
import signal, sys, time
def on_usr1(*_): print("USR1 arrived", flush=True)
def on_term(*_): sys.exit(7)
signal.signal(signal.SIGUSR1, on_usr1)
signal.signal(signal.SIGTERM, on_term)
print("waiting", flush=True)
while True: time.sleep(0.05)
"""
SERVE = """#!{python}
import http.server, json, sys, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{"data": [{{"id": "org/m"}}]}}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
        if self.path == "/end": threading.Timer(0.1, sys.stdout.flush).start(); ended.set()
    def log_message(self, *_): pass
ended = threading.Event()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
ended.wait()
print("(APIServer pid=1) ERROR 11-26 16:12:36 [async_llm.py:704] vllm.v1.engine.exceptions.EngineDeadError: "
      "EngineCore encountered an issue. See stack trace (above) for the root cause.", flush=True)
"""


def in_pid_namespace(*command):
    """Return a command that runs another one as PID 1."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--pid", "--fork", "--kill-child", "--mount-proc", *command]


@pytest.fixture(scope="module")
def pid_namespaces():
    if shutil.which("unshare") is None or subprocess.run(in_pid_namespace("true"), check=False).returncode:
        pytest.skip("this kernel or user has no PID namespaces")


class Running:
    """A `tracetail run` whose output is read as it comes."""

    def __init__(self, command, environ):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
        self.read = []

    def line_with(self, text):
        for line in self.process.stdout:
            self.read.append(line.rstrip("\n"))
            if text in line:
                return line
        raise AssertionError((text, self.read))

    def end(self):
        self.read += [line.rstrip("\n") for line in self.process.stdout]
        return self.process.wait(timeout=60)


@pytest.fixture
def run(world):
    started = []

    def start(*words, wrap=lambda *words: words, **environ):
        command = list(wrap(*world.command("run", *words)))
        started.append(Running(command, world.environ | environ))
        return started[-1]

    yield start
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            one.process.kill()
        one.process.wait()
        one.process.stdout.close()


@pytest.mark.usefixtures("pid_namespaces")
def test_pid_1_reaps_orphans_and_exits_with_the_status_of_the_server(run):
    one = run("--", sys.executable, "-c", COUNT_ZOMBIES + "sys.exit(3)", wrap=in_pid_namespace)
    assert one.end() == 3
    assert any("my parent is 1; orphans: 5 at first, 0 at last" in line for line in one.read), one.read


@pytest.mark.usefixtures("pid_namespaces")
def test_pid_1_passes_a_signal_on_and_a_stop_ends_the_server(run):
    one = run("--", sys.executable, "-c", ANSWER_SIGNALS, wrap=in_pid_namespace)
    one.line_with("] waiting")
    (keeper,) = psutil.Process(one.process.pid).children()
    keeper.send_signal(signal.SIGUSR1)
    one.line_with("USR1 arrived")
    keeper.send_signal(signal.SIGTERM)
    assert one.end() == 7
    assert "exited state=stopped" in one.read[-1]


def test_the_same_stamped_lines_are_on_stdout_and_in_the_log(run, world):
    one = run("--trace-id", "t-1", "--", "sh", "-c", "echo one; printf two")
    assert one.end() == 0
    (launch,) = world.launches()
    segment = Path(launch.read()["logFile"]).read_text()
    assert "\n".join(one.read) + "\n" == segment
    assert world.output(launch) == b"one\ntwo"
    assert launch.read()["state"] == "stopped"


def test_plain_stdout_is_what_the_server_prints(run):
    long = "x" * 300_000
    one = run("--plain-stdout", "--", "sh", "-c", "echo one; head -c 300000 /dev/zero | tr '\\0' x; echo; echo two")
    assert one.end() == 0
    assert one.read == ["one", long, "two"]


@pytest.mark.parametrize(
    ("script", "number", "status"),
    [
        ("trap '' TERM; echo waiting; while :; do sleep 0.05; done", signal.SIGTERM, 137),
        ("echo waiting; exec sleep 1000", signal.SIGINT, 143),
    ],
)
def test_the_exit_status_after_a_stop_is_that_of_the_signal_that_ended_the_server(run, script, number, status):
    one = run("--stop-timeout-sec", "0.3", "--", "sh", "-c", script)
    one.line_with("] waiting")
    one.process.send_signal(number)
    assert one.end() == status


@pytest.mark.usefixtures("pid_namespaces")
def test_a_stop_that_comes_before_the_keeper_is_not_lost(run):
    """The kernel drops a signal that PID 1 neither handles nor blocks."""
    one = run("--", "sleep", "1000", wrap=in_pid_namespace)
    deadline = time.monotonic() + 20
    while True:  # as early as the signal is held: in Python's start-up nothing can hold it yet
        for child in psutil.Process(one.process.pid).children():
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                if child.name() == "unshare":
                    continue  # it holds signals while it forks, and gives them back before it is the command
                status = Path(f"/proc/{child.pid}/status").read_text()
                blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
                if blocked >> (signal.SIGTERM - 1) & 1:
                    child.send_signal(signal.SIGTERM)
                    assert one.end() == 143
                    return
        assert time.monotonic() < deadline


def test_the_cause_of_a_failure_is_in_the_termination_log(run, tmp_path):
    line = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    one = run("--", "sh", "-c", f"echo '{line}'; exit 1", TRACETAIL_RUN_TERMINATION_LOG=str(tmp_path / "reason"))
    assert one.end() == 1
    written = (tmp_path / "reason").read_text().splitlines()
    assert written[0].startswith("failed: ")
    assert "memory is full" in written[0]
    assert written[1].startswith("hint: ")
    assert any(line in entry for entry in written), written


@pytest.mark.parametrize("kind", ["a FIFO", "a symbolic link"])
def test_what_another_user_put_in_the_place_of_the_termination_log_is_not_written(run, tmp_path, capfd, kind):
    (tmp_path / "file").write_text("of the user who runs the command")
    if kind == "a FIFO":
        os.mkfifo(tmp_path / "reason")  # nobody reads it: a plain open waits for ever
    else:
        (tmp_path / "reason").symlink_to(tmp_path / "file")
    one = run("--termination-log", str(tmp_path / "reason"), "--", "sh", "-c", "exit 3")
    assert one.end() == 3
    assert f"cannot write {tmp_path / 'reason'}: it is {kind}, not a regular file" in capfd.readouterr().err
    assert (tmp_path / "file").read_text() == "of the user who runs the command"


def test_ids_and_parameters_come_from_the_environment(run, world):
    environ = {
        "TRACE_ID": "t-9",
        "INSTANCE_ID": "pod-7",
        "TRACETAIL_RUN_MODEL_NAME": "qwen",
        "TRACETAIL_RUN_ENV": "prod",
    }
    assert run("--", "sh", "-c", 'echo "$TRACE_ID $INSTANCE_ID"', **environ).end() == 0
    (launch,) = world.launches()
    record = launch.read()
    assert (record["traceId"], record["instanceId"], record["service"]) == ("t-9", "pod-7", "prod/qwen")
    assert world.output(launch) == b"t-9 pod-7\n"


@pytest.fixture
def vllm(tmp_path):
    """A stand-in for the command, of which only the command line, the answers and the last line are vLLM's."""
    script = tmp_path / "bin" / "vllm"
    script.parent.mkdir()
    script.write_text(SERVE.format(python=sys.executable))
    script.chmod(0o755)
    return script


def test_the_command_of_an_engine_is_recognised_and_its_death_with_status_0_is_none(run, world, vllm, free_port):
    port = free_port()
    one = run("--", str(vllm), "serve", "org/m", "--port", str(port))
    ready = one.line_with("] ready ")
    assert f"url=http://127.0.0.1:{port}" in ready
    urllib.request.urlopen(f"http://127.0.0.1:{port}/end").close()
    assert one.end() == 1
    (launch,) = world.launches()
    record = launch.read()
    assert (record["engine"], record["modelName"], record["port"]) == ("vllm", "org/m", port)
    assert (record["state"], record["exit"]["code"]) == ("crashed", 0)


def test_a_command_that_is_not_there_is_refused_with_the_status_of_a_shell(run, world, tmp_path):
    one = run(
        "--termination-log", str(tmp_path / "reason"), "--trace-id", "t-1", "--", "no-such-program", "--port", "1"
    )
    assert one.end() == 127
    assert (tmp_path / "reason").read_text().startswith("refused: no-such-program was not found\n")
    assert [event.name for event in world.events(world.launches()[0])] == ["refused"]


@pytest.mark.usefixtures("pid_namespaces")
def test_the_end_of_a_container_before_is_reported_by_the_next(run, world, wait_until):
    one = run("--", "sh", "-c", "exec sleep 1000", wrap=in_pid_namespace)
    one.line_with("] ready ")
    (before,) = world.launches()
    wait_until(lambda: before.read()["state"] == "ready", "ready")
    one.process.kill()  # and PID 1 with it, and so all: as `docker kill`
    one.process.wait()
    wait_until(lambda: not before.lock_held(), "the end of PID 1")
    assert run("--model-name", "sh", "--", "true").end() == 0
    known = before.read()
    assert known["state"] == "crashed"
    assert known["exit"]["hint"].startswith("`tracetail run` was killed with it: by docker kill, ")


def test_with_stdout_only_the_disk_holds_no_more_than_the_diagnosis_needs(run, world):
    one = run("--stdout-only", "--", "sh", "-c", "yes 0123456789012345678901234567890123456789 | head -n 400000")
    assert one.end() == 0
    (launch,) = world.launches()
    record = launch.read()
    there = [path for path in record["segments"] if Path(path).exists()]
    assert len(record["segments"]) > 2
    assert len(there) <= 2
    assert sum(line.endswith("0123456789") for line in one.read) == 400000


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("vllm serve Qwen/Qwen3-8B", Recognised("vllm", "Qwen/Qwen3-8B", "Qwen/Qwen3-8B", 8000)),
        (
            "python3 -m vllm.entrypoints.openai.api_server --model /m --served-model-name q --port=9 --host ::",
            Recognised("vllm", "/m", "q", 9, "::"),
        ),
        ("python3 -m sglang.launch_server --model-path /m", Recognised("sglang", "/m", "/m", 30000)),
        ("/usr/local/Ascend/mindie/latest/mindie-service/bin/mindieservice_daemon", Recognised("mindie", port=1025)),
        ("python3 serve.py --port 8080", Recognised("custom", port=8080)),
        ("bash -c x", Recognised("custom")),
    ],
)
def test_command_lines(line, found):
    assert recognise(line.split()) == found


def test_the_server_gets_the_environment_of_its_caller(run, world):
    one = run("--", "env", MALLOC_ARENA_MAX="7")
    assert one.end() == 0
    assert any(line.endswith("] MALLOC_ARENA_MAX=7") for line in one.read)
    started = world.start([["text", "ready now\n"], ["stay"]]).result
    assert b"MALLOC_ARENA_MAX" not in Path(f"/proc/{started['pid']}/environ").read_bytes()
