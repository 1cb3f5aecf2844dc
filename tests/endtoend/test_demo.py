"""`tracetail demo --once` checks the whole chain, also when its usual ports are taken."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

from support.environment import environment

from tracetail.cli.demo_probes import reserve_port


def run_demo(tmp_path):
    environ = environment()
    environ["TMPDIR"] = str(tmp_path)
    return subprocess.run(
        [sys.executable, "-m", "tracetail", "demo", "--once"],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_the_whole_chain_works_and_leaves_nothing_behind(tmp_path):
    run = run_demo(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "✓ store, agent, panel and server have ended, no process is left" in run.stdout
    assert '{traceId="' in run.stdout
    assert "/panel?traceId=" in run.stdout
    assert "Application startup complete." in run.stdout
    assert not list(tmp_path.glob("tracetail-demo-*")), "its directory is removed"


def test_ports_in_use_are_not_fatal(tmp_path):
    with contextlib.ExitStack() as holders:
        held = [port for port in (3100, 8900, 8000) if hold(port, holders)]
        run = run_demo(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert [port for port in held if f"port {port} is in use; using " not in run.stdout] == []


def hold(port, holders):
    """Bind a port; return False if somebody else has it, who may be gone before a demonstration asks for it."""
    holder = holders.enter_context(socket.socket())
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def test_two_that_start_at_once_do_not_choose_the_same_ports():
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second, contextlib.ExitStack() as bound:
        port = reserve_port(0, bound, first)
        bound.close()  # as before its parts listen
        assert reserve_port(port, bound, second) != port
        first.close()
        assert reserve_port(port, bound, second) == port


def test_a_demo_that_cannot_run_says_why(tmp_path):
    variable = "TRACETAIL_STORE_RETENTION_DAYS"
    environ = {**os.environ, variable: "many", "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "tracetail", "demo", "--once"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert variable in run.stderr


def test_a_proxy_of_the_environment_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    run = run_demo(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_interrupted_demo_stops_what_it_started(tmp_path):
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tracetail", "demo"],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "2. a server" in line:
            break
    process.terminate()
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "interrupted" in errors
    assert not list(tmp_path.glob("tracetail-demo-*"))
    assert not [path for path in Path("/proc").glob("[0-9]*") if str(tmp_path).encode() in environ_of(path)]


def environ_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
