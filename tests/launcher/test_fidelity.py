"""What a server prints is what its segments hold."""

import itertools
from pathlib import Path

import pytest

VLLM_LOGS = sorted((Path(__file__).parents[1] / "data" / "vllm-logs").glob("*.log"))

MADE = {
    "invalid UTF-8": [["text", "a \udcff\udcfe b\n\udcc3\n"]],
    "NUL bytes": [["text", "a\0b\0\n\0\n"]],
    "a last line without LF": [["text", "one\ntwo"]],
    "a pause in mid-line": [["text", "half a line"], ["sleep", 0.5], ["text", " and its rest\n"]],
    "a pause inside a character": [["text", "caf\udcc3"], ["sleep", 0.5], ["text", "\udca9\n"]],
    "empty lines": [["text", "\n\n\na\n\n"]],
    "CR before LF": [["text", "one\r\ntwo\r\n\r\n"]],
    "a line of 300 KB": [["text", "before\n" + "x" * 300_000 + "\nafter\n"]],
    "a line of 5 MB": [["text", "before\n" + "é" * 2_500_000 + "\nafter\n"]],
}


def without_cr_before_lf(data):
    return data.replace(b"\r\n", b"\n")


def steps_to_bytes(steps):
    return b"".join(step[1].encode("utf-8", "surrogateescape") for step in steps if step[0] == "text")


def as_files(steps, directory):
    """Return the steps with long texts in files: an argument has at most 128 KiB."""
    found = []
    for number, step in enumerate(steps):
        if step[0] == "text":
            path = directory / f"text-{number}"
            path.write_bytes(step[1].encode("utf-8", "surrogateescape"))
            found.append(["file", str(path)])
        else:
            found.append(step)
    return found


@pytest.mark.parametrize("path", VLLM_LOGS, ids=lambda path: path.stem)
def test_a_real_log_is_written_as_it_was_printed(world, path):
    started = world.start([["file", str(path)], ["exit", 3]])
    launch = world.launch(started.result)
    world.ended(launch)
    assert world.output(launch) == without_cr_before_lf(path.read_bytes())


@pytest.mark.parametrize("name", MADE)
def test_generated_output_is_written_as_it_was_printed(world, tmp_path, name):
    started = world.start([*as_files(MADE[name], tmp_path), ["exit", 3]])
    launch = world.launch(started.result)
    world.ended(launch)
    assert world.output(launch) == without_cr_before_lf(steps_to_bytes(MADE[name]))
    assert all(len(line.text) <= 256 * 1024 for line in world.lines(launch))


def test_a_progress_bar_is_thinned_out_and_keeps_its_first_and_last_state(world):
    bar = "".join(f"{percent}%\r" for percent in range(101))
    started = world.start([["text", f"begin\n{bar}\nend\n"], ["exit", 3]])
    launch = world.launch(started.result)
    world.ended(launch)
    assert world.output(launch) == b"begin\n0%\r99%\r100%\nend\n"


def test_a_progress_bar_that_begins_with_its_cr_is_not_joined(world):
    steps = [
        ["text", "\r 10%"],
        ["sleep", 0.5],
        ["text", "\r 20%"],
        ["sleep", 1.5],
        ["text", "\r 30%\n"],
        ["exit", 3],
    ]
    launch = world.launch(world.start(steps).result)
    world.ended(launch)
    assert world.output(launch) == b"\r 10%\r 20%\r 30%\n"


def test_segments_are_opened_at_their_limit_and_name_the_next(world, tmp_path):
    path = tmp_path / "much"
    path.write_bytes(b"".join(b"line %07d with some more text behind it\n" % n for n in range(60_000)))
    started = world.start([["file", str(path)], ["exit", 3]], maxLogMB=1)
    launch = world.launch(started.result)
    world.ended(launch)
    segments = launch.read()["segments"]
    assert len(segments) > 5
    assert world.output(launch) == path.read_bytes()
    for segment, following in itertools.pairwise(segments):
        assert Path(segment).stat().st_size <= 1024 * 1024 + 512
        assert b" event] rotated next=" + Path(following).name.encode() in Path(segment).read_bytes().splitlines()[-1]
