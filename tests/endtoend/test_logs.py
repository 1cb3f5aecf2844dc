"""`tracetail logs` prints what a trace has in Loki: all of it, a part of it, and what comes."""

import json
import subprocess
import time
import urllib.request

import pytest
from support import commands


def push(machine, entries, launch_id="20261122T211210-4bf92f", trace_id="t1", headers=()):
    labels = {"traceId": trace_id, "launchId": launch_id, "instanceId": "i1", "service_name": "m"}
    values = [[str(time_ns), line, metadata] for time_ns, line, metadata in entries]
    body = json.dumps({"streams": [{"stream": labels, "values": values}]}).encode()
    request = urllib.request.Request(
        machine.addresses["store"] + "/loki/api/v1/push", body, {"Content-Type": "application/json", **dict(headers)}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 204


@pytest.fixture
def store(bare_machine):
    bare_machine.start("store")
    return bare_machine


@pytest.fixture
def filled(store):
    start = time.time_ns() - 60 * 10**9
    levels = ["info", "warning", "error"]
    push(store, [(start + n, f"line {n}", {"level": levels[n % 3]}) for n in range(3000)])
    return store


def lines(run):
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_prints_every_line_once_and_in_order_over_many_pages(filled):
    run = filled.tracetail("logs", "--trace-id", "t1", "--raw")
    assert lines(run) == [f"line {n}" for n in range(3000)]


def test_a_request_is_found_by_the_clients_id_and_by_the_engines(store):
    start = time.time_ns() - 60 * 10**9
    printed = [("Received", "cmpl-a.b/7-0"), ("Added", "cmpl-a.b/7-0-a86dea28"), ("another", "cmpl-a-b/7-0")]
    push(store, [(start + n, text, {"level": "info", "request_id": one}) for n, (text, one) in enumerate(printed)])
    for wanted in ("a.b/7", "cmpl-a.b/7-0", "cmpl-a.b/7-0-a86dea28"):
        run = store.tracetail("logs", "--trace-id", "t1", "--request-id", wanted, "--raw")
        assert lines(run) == ["Received", "Added"]


def test_level_grep_and_tail_choose(filled):
    errors = lines(filled.tracetail("logs", "--trace-id", "t1", "--level", "error", "--raw"))
    assert errors == [f"line {n}" for n in range(2, 3000, 3)]
    assert lines(filled.tracetail("logs", "--trace-id", "t1", "--grep", "line 29", "--raw"))[0] == "line 29"
    assert lines(filled.tracetail("logs", "--trace-id", "t1", "--regex", "^line 1.$", "--raw")) == [
        f"line {n}" for n in range(10, 20)
    ]
    assert lines(filled.tracetail("logs", "--trace-id", "t1", "-n", "2", "--raw")) == ["line 2998", "line 2999"]
    assert lines(filled.tracetail("logs", "--launch", "20261122T211210-4bf92f", "-n", "1", "--raw")) == ["line 2999"]
    every = ("-C", "9" * 20, "-n", "9" * 20, "--grep", "line 1500")
    assert len(lines(filled.tracetail("logs", "--trace-id", "t1", *every, "--raw"))) == 3000


def test_in_a_pipe_a_line_has_time_and_level_and_no_colours(filled):
    (line,) = lines(filled.tracetail("logs", "--trace-id", "t1", "-n", "1"))
    assert "\x1b" not in line
    assert line.endswith(" ERROR    line 2999")


def test_json_has_everything(filled):
    (line,) = lines(filled.tracetail("logs", "--trace-id", "t1", "-n", "1", "--json"))
    entry = json.loads(line)
    assert entry["text"] == "line 2999"
    assert entry["level"] == "error"
    assert entry["labels"]["instanceId"] == "i1"


def test_follows_also_a_launch_that_is_behind_the_other(store):
    now = time.time_ns()
    push(store, [(now, "ahead 0", {"level": "info"})])
    process = commands.popen(
        *("logs", "--trace-id", "t1", "-f", "--raw"),
        env=store.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ahead 0\n"
        push(store, [(now + 10**9, "ahead 1", {"level": "info"})])
        assert process.stdout.readline() == "ahead 1\n"
        push(store, [(now - 10 * 10**9, "behind 0", {"level": "info"})], launch_id="20261122T211211-000000")
        assert process.stdout.readline() == "behind 0\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_follows_on_when_the_secret_is_rotated(bare_machine, tmp_path):
    secret = tmp_path / "store.secret"
    secret.write_text("one\n")
    bare_machine.environ |= {
        "TRACETAIL_STORE_SECRET_FILE": str(secret),
        "TRACETAIL_LOKI_BEARER_TOKEN_FILE": str(secret),
    }
    bare_machine.start("store")
    now = time.time_ns()
    push(bare_machine, [(now, "before", {})], headers={"Authorization": "Bearer one"})
    with commands.popen(
        *("logs", "--trace-id", "t1", "-f", "--raw"),
        env=bare_machine.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "before\n"
            secret.write_text("two\n")
            push(bare_machine, [(now + 10**9, "after", {})], headers={"Authorization": "Bearer two"})
            assert process.stdout.readline() == "after\n"
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "give a traceId"),
        (["--trace-id", 'a"b'], 2, "traceId"),
        (["--trace-id", "t1", "--since", "noon"], 2, "6h"),
        (["--launch", "../x"], 2, "launch id"),
        (["--trace-id", "nothing-here"], 1, 'no lines match {traceId="nothing-here"}'),
        (["--trace-id", "t1", "--regex", "("], 2, "missing )"),
    ],
)
def test_a_mistake_or_an_empty_answer_is_one_clear_line(store, arguments, status, says):
    run = store.tracetail("logs", *arguments)
    assert run.returncode == status
    assert says in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


def test_without_a_loki_it_says_which_it_tried(bare_machine):
    bare_machine.environ["TRACETAIL_LOKI_URL"] = "http://127.0.0.1:9"
    run = bare_machine.tracetail("logs", "--trace-id", "t1")
    assert run.returncode == 1
    assert "http://127.0.0.1:9" in run.stderr


SCRIPT = "for n in 1 2 3 4 5; do echo line $n; done; echo 'ERROR 11-26 20:01:02 [core.py:9] it broke'; exec sleep 60"
PRINTS = ["sh", "-c", SCRIPT]


def prints(machine, **parameters):
    """Start a server that prints some lines, and return its result."""
    return machine.launch(PRINTS, readyWhen="log:it broke", **parameters)


def test_the_last_launch_one_by_its_end_its_model_or_its_trace(machine):
    first = prints(machine, modelName="first", traceId="t-first")
    second = prints(machine, modelName="second", traceId="t-second")
    for launch in (first, second):
        machine.wait_for_event(launch["traceId"], "ready")

    def printed(*arguments):
        run = machine.tracetail("logs", "--raw", "--regex", "^line", *arguments)
        return lines(run), run.stderr

    five = [f"line {n}" for n in range(1, 6)]
    for arguments, launch in (
        ([], second),
        ([first["launchId"]], first),
        ([first["launchId"][-6:]], first),
        (["first"], first),
        (["t-second"], second),
        (["t-second", "--local"], second),
    ):
        found, notes = printed(*arguments)
        assert found == five
        assert launch["launchId"] in notes or arguments[:1] in ([launch["launchId"]], [launch["traceId"]])


def test_this_machines_files_are_read_where_loki_does_not_answer(bare_machine):
    launch = prints(bare_machine, modelName="m", traceId="t1")
    run = bare_machine.tracetail("logs", "t1", "--level", "error", "-C", "1")
    assert "reading the log files of this machine" in run.stderr
    assert [line[:2] + line[35:] for line in lines(run)][:2] == [
        "  line 5",
        "> ERROR 11-26 20:01:02 [core.py:9] it broke",
    ]
    again = bare_machine.tracetail("logs", launch["launchId"], "--local", "-n", "1", "--since", "1h", "--json")
    assert json.loads(lines(again)[0])["labels"]["launchId"] == launch["launchId"]
    assert again.stderr == ""


def test_lines_that_loki_does_not_have_yet_are_read_from_this_machines_files(store):
    prints(store, modelName="m", traceId="t1")  # no agent ships it
    run = store.tracetail("logs", "m", "--regex", "^ERROR.*it broke$", "--raw")
    assert lines(run) == ["ERROR 11-26 20:01:02 [core.py:9] it broke"]
    assert "has none of these lines (yet)" in run.stderr
    assert store.tracetail("logs", "m", "--grep", "no such text").returncode == 1


def test_lines_of_several_launches_have_the_name_of_theirs(machine):
    for name in ("a", "b"):
        prints(machine, modelName=name, traceId="both")
    machine.wait_for_event("both", "ready")
    run = machine.tracetail("logs", "both", "--local", "--regex", "^line 1")
    assert sorted(line.split()[2][:2] for line in lines(run)) == ["a/", "b/"]


def test_a_record_that_names_a_file_elsewhere_does_not_have_it_printed(bare_machine, tmp_path):
    launch = prints(bare_machine, modelName="m", traceId="t1")
    secret = tmp_path / "elsewhere"
    secret.write_text("a secret\n")
    path = bare_machine.state / "launches" / launch["launchId"] / "record.json"
    assert bare_machine.tracetail("stop", "--launch", launch["launchId"]).returncode == 0
    record = json.loads(path.read_text())
    record["segments"].append(str(secret))
    path.write_text(json.dumps(record))
    run = bare_machine.tracetail("logs", launch["launchId"], "--local")
    assert "line 1" in run.stdout
    assert "a secret" not in run.stdout
    assert str(secret) in run.stderr
