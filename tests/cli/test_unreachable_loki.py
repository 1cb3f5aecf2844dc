"""Every command that needs Loki explains a wrong way to it in the words of doctor, with the setting to look at."""

import asyncio
import json
import re
import subprocess
import time

import pytest
from support import commands
from support.agent_process import TRACE, Launch
from support.callback_receiver import Receiver
from support.environment import environment

from tracetail.agent.journal.database import Journal, journal_path

COMMANDS = {
    "logs": ("logs", "--trace-id", TRACE),
    "logs -f": ("logs", "--trace-id", TRACE, "-n", "3", "--follow"),
    "verify": ("verify", "--trace-id", TRACE),
    "replay": ("agent", "rejected", "replay"),
}


@pytest.fixture
def plain_port():
    receiver = Receiver()
    yield receiver.server.server_port
    receiver.close()


@pytest.fixture(params=["plain port", "dead proxy"])
def wrong_way(request, plain_port):
    """Return variables that set a wrong way to Loki, and what is said of it."""
    if request.param == "plain port":
        url = f"https://127.0.0.1:{plain_port}"
        return {
            "TRACETAIL_LOKI_URL": url
        }, rf"Loki at {url} cannot be reached: there is no TLS with it .*; look at loki\.url"
    return {
        "TRACETAIL_LOKI_URL": "http://loki.invalid:3100",
        "TRACETAIL_LOKI_PROXY": "http://127.0.0.1:1",
    }, r"Loki at http://loki\.invalid:3100 cannot be reached: the proxy cannot be reached .*; look at loki\.proxy"


def run(state_dir, variables, *arguments):
    environ = environment()
    environ |= {"TRACETAIL_STATE_DIR": str(state_dir), "TRACETAIL_AGENT_STATE_DIRS": str(state_dir), **variables}
    return commands.run(*arguments, env=environ, stdin=subprocess.DEVNULL, text=True, timeout=120)


@pytest.fixture
async def state(state_dir):
    """Return a state directory with a launch that printed a line, and a journal with a rejected one."""
    launch = Launch(state_dir)
    launch.time_ns = time.time_ns() - 60 * 10**9  # `logs` prints lines of the last days
    launch.print("kept")
    launch.end()
    journal = Journal(journal_path(state_dir))
    journal.open()
    await journal.write(
        lambda db: db.execute(
            "INSERT INTO rejected (labels, time_ns, line, meta, reason, rejected_at) VALUES (?, ?, ?, ?, ?, ?)",
            (json.dumps({"traceId": TRACE}), 1, b"refused", b"", "too old", time.time()),
        )
    )
    journal.close()
    return state_dir


def test_commands_say_what_doctor_says(state, wrong_way):
    variables, explanation = wrong_way
    doctor = run(state, variables, "doctor")
    assert doctor.returncode == 1
    said = re.search(explanation, doctor.stdout)
    assert said, doctor.stdout
    for arguments in COMMANDS.values():
        ran = run(state, variables, *arguments)
        if arguments[0] == "logs":  # it has the log files of this machine
            assert (ran.returncode, "kept" in ran.stdout) == (0, True)
            assert ran.stderr == f"{said[0]}; reading the log files of this machine\n"
            continue
        assert (ran.returncode, ran.stdout) == (1, ""), arguments
        assert ran.stderr == f"error: {said[0]}\n", arguments


async def test_following_goes_on_in_the_log_files_of_this_machine(state_dir):
    launch = Launch(state_dir)
    launch.time_ns = time.time_ns() - 60 * 10**9
    launch.print("before")
    process = await commands.create(
        "logs",
        "-f",
        env=environment() | {"TRACETAIL_STATE_DIR": str(state_dir), "TRACETAIL_LOKI_URL": "http://127.0.0.1:1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        assert b"before" in await process.stdout.readline()
        launch.print("after")
        assert b"after" in await process.stdout.readline()
        launch.end()
        _, said = await process.communicate()
    assert process.returncode == 0
    assert b"reading the log files of this machine" in said


def test_a_mistyped_model_is_answered_with_the_nearest_one(state):
    ran = run(state, {}, "logs", "Qwen/Qwen2-7b", "--local")
    assert ran.returncode == 2
    assert ran.stderr == "error: there is no launch of Qwen/Qwen2-7b on this machine; did you mean Qwen/Qwen2-7B?\n"
    ran = run(state, {}, "logs", TRACE[:-1], "--local")
    assert ran.returncode == 1
    assert ran.stderr.endswith(f"in the log files of this machine; did you mean {TRACE}?\n")


def test_the_demonstration_says_what_doctor_says(state, wrong_way):
    variables, explanation = wrong_way
    ran = run(state, variables, "demo", "--once")
    assert ran.returncode == 1
    assert re.search("✗ " + explanation, ran.stderr), ran.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_setting_that_cannot_be_used_is_exit_status_2(state, tmp_path, name):
    variables = {"TRACETAIL_LOKI_BEARER_TOKEN_FILE": str(tmp_path / "none")}
    ran = run(state, variables, *COMMANDS[name])
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: loki.bearer_token_file cannot be read: ")
    assert len(ran.stderr.splitlines()) == 1
