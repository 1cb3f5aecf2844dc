"""What schedulers give to a job: streams that are closed, gone, full or a terminal, and a deleted directory."""

import os
import pty
import subprocess
import threading

import pytest

from tracetail.cli.streams import lossy

READY = [["text", "ready now\n"], ["stay"]]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param('"$@" >&- 2>&-', id="closed"),
        pytest.param('"$@" > /dev/full 2>&1', id="full disk"),
        pytest.param('{ "$@" 2>&1; echo $? >&3; } 3>status | true; exit $(cat status)', id="reader gone"),
    ],
)
def test_an_exit_status_does_not_depend_on_who_reads_the_output(world, tmp_path, how):
    command = world.command("start", "--params", world.params(READY))
    done = subprocess.run(["sh", "-c", how, "sh", *command], cwd=tmp_path, env=world.environ, check=False)
    assert done.returncode == 0
    assert world.launches()[0].read()["state"] == "ready"


def test_what_is_written_to_a_full_pipe_that_does_not_block_waits_for_the_reader():
    # node gives its children such pipes: make, npm and CI runners that are written in it hand them on.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "x" * 300_000
    found = []

    def read():
        with os.fdopen(reading, encoding="utf-8") as pipe:
            found.append(pipe.read())

    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        reader = threading.Thread(target=read)
        reader.start()
        output = lossy(stream)
        output.write(text)
        output.flush()
        output.detach()
    reader.join()
    assert found == [text]


@pytest.mark.parametrize(
    "environ", [{"CI": "true", "TERM": "xterm"}, {"TERM": "dumb"}, {"TERM": ""}], ids=["ci", "dumb", "none"]
)
def test_a_job_with_a_terminal_prints_what_is_printed_in_a_pipe(world, environ):
    # act 0.2.61 (`-P self-hosted=-self-hosted`) gives each step a terminal, TERM=xterm and CI=true.
    ours, theirs = pty.openpty()
    command = world.command("status", "--model-name", "m")
    with os.fdopen(ours, "rb") as terminal:
        done = subprocess.run(command, stdout=theirs, stderr=theirs, env=world.environ | environ, check=False)
        os.close(theirs)
        printed = terminal.read1()
    assert done.returncode == 3
    assert b"TRACETAIL_RESULT {" in printed
    assert b"\x1b" not in printed


def test_a_job_in_a_deleted_directory_is_refused_with_the_reason(world, tmp_path):
    # The workspace that another build of the same job has cleared.
    gone = tmp_path / "workspace"
    gone.mkdir()
    command = world.command("start", "--params", world.params(READY))
    how = 'cd "$0" && rmdir "$0" && exec "$@"'
    done = subprocess.run(["sh", "-c", how, gone, *command], env=world.environ, capture_output=True, check=False)
    assert done.returncode == 15
    assert b"the directory that the command was called in is deleted" in done.stdout
    assert world.launches()[0].read()["state"] == "failed"


@pytest.mark.parametrize(
    ("option", "said"),
    [("--job-id", "jobId holds half of a character"), ("--port", "'\\udcff' is not a valid integer")],
)
def test_an_argument_in_another_encoding_is_refused_and_leaves_a_trace(world, option, said):
    # A job's locale (LC_ALL=POSIX without coercion, GBK) is not always that of who wrote its parameters.
    command = world.command("start", "--params", world.params(READY), "--trace-id", "t", option)
    done = subprocess.run(
        [*map(os.fsencode, command), b"\xff"],
        env=world.environ | {"LC_ALL": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    refused = world.launches()[0].read()
    assert refused["traceId"] == "t"
    assert said in refused["exit"]["cause"]
