"""Logs that a kubelet, podman or Docker wrote around a program's lines."""

import json
from pathlib import Path

import pytest

from tracetail.agent.model import Block
from tracetail.agent.parsing.header_cache import HeaderCache
from tracetail.agent.parsing.parser import LineParser
from tracetail.agent.parsing.prepare import Preparer
from tracetail.agent.parsing.times import EngineTimes
from tracetail.agent.reading.container_labels import container_labels
from tracetail.agent.reading.file_labels import file_labels
from tracetail.agent.settings import AgentSettings, SourceSettings
from tracetail.contract.redaction import Redactor
from tracetail.loki import entries

NOW = 1_795_700_000_000_000_000  # 2026-11-26T13:33:20Z
STAMP = "2026-11-26T13:31:25.{:09d}"
START = 1_795_699_885_000_000_000
CONTAINER_ID = "4f1c" * 16
ERROR = "(Worker pid=7) ERROR 11-26 13:31:25 [core.py:7] boom"


def cri(nanos, text, *, tag="F", stream="stdout", zone="Z"):
    return f"{STAMP.format(nanos)}{zone} {stream} {tag} {text}\n"


def docker(nanos, text, *, stream="stdout", end="\n"):
    # As Go's encoder writes it: no blanks, `<`, `>` and `&` escaped.
    log = json.dumps(text + end, ensure_ascii=False).replace("<", "\\u003c").replace("&", "\\u0026")
    return f'{{"log":{log},"stream":"{stream}","time":"{STAMP.format(nanos)}Z"}}\n'


def shipped(*blocks, parser=None, behind=True):
    """Return time, level, kind and text of each entry. All blocks but the last are followed by more."""
    parser = parser or LineParser(EngineTimes(NOW), HeaderCache(), by_keeper=False)
    preparer = Preparer(Redactor(), True, lambda: NOW)
    found = []
    for index, text in enumerate(blocks):
        data = text.encode()
        more = behind and index < len(blocks) - 1
        block = Block(data, 0, len(data), not data.endswith(b"\n"), more)
        for prepared in preparer.prepare(parser, block, behind=False):
            for stream in prepared.streams:
                for row, line in enumerate(stream.entries.texts):
                    meta = entries.decode_metadata(stream.entries.metas[row])
                    found.append(
                        (stream.entries.time_ns(row) - START, meta["level"], meta.get("kind"), line.decode())
                    )
    return found


@pytest.mark.parametrize("wrap", [cri, docker])
def test_a_line_has_its_own_level_and_the_time_of_the_runtime(wrap):
    assert shipped(wrap(1, ERROR) + wrap(2, "  more") + wrap(3, "") + wrap(4, "a < b & 密码")) == [
        (1, "error", None, ERROR),
        (2, "error", None, "  more"),
        (3, "error", None, ""),
        (4, "info", None, "a < b & 密码"),
    ]


def test_the_zone_of_a_time_counts():
    assert shipped(f"2026-11-26T21:31:25.5+08:00 stderr F {ERROR}\n") == [(500_000_000, "error", None, ERROR)]


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 5])
def test_pieces_are_joined_to_the_line_that_they_are_wherever_a_block_ends(cut):
    lines = [
        cri(1, "first ", tag="P"),
        cri(2, "an error of ", tag="P", stream="stderr"),
        cri(3, "second ", tag="P"),
        cri(4, "third"),
        cri(5, "the other stream", stream="stderr"),
    ]
    found = shipped(*("".join(part) for part in (lines[:cut], lines[cut:]) if part))
    assert [text for *_, text in found] == ["first second third", "an error of the other stream"]
    assert [kind for _, _, kind, _ in found] == [None, None]
    assert found[0][0] == 1


def test_dockers_pieces_are_joined():
    long = "x" * 16384
    found = shipped(docker(1, long, end="") + docker(2, long, end="") + docker(3, "end"))
    assert found == [(1, "info", None, long + long + "end")]


def test_the_last_words_of_a_container_without_a_line_end_are_a_line():
    assert shipped(docker(1, "killed here", end="")) == [(1, "info", None, "killed here")]


def test_pieces_that_nothing_follows_are_not_held_back():
    parser = LineParser(EngineTimes(NOW), HeaderCache(), by_keeper=False)
    assert shipped(cri(1, ERROR, tag="P"), parser=parser) == [(1, "error", "cut", ERROR)]
    assert shipped(cri(2, " and the rest"), parser=parser) == [(2, "error", None, " and the rest")]


def test_a_line_without_an_end_takes_bounded_memory():
    found = shipped("".join(cri(n, "x" * 16384, tag="P") for n in range(1, 100)) + cri(100, "end"))
    assert "".join(text for *_, text in found) == "x" * 16384 * 99 + "end"
    assert {kind for _, _, kind, _ in found[:-1]} == {"cut"}


def test_the_state_holds_the_pieces():
    first = LineParser(EngineTimes(NOW), HeaderCache(), by_keeper=False)
    assert shipped(cri(1, "密", tag="P"), "", parser=first) == []
    state = json.loads(json.dumps(first.state()))
    second = LineParser(EngineTimes(NOW), HeaderCache(), by_keeper=False, state=state)
    assert shipped(cri(2, "码"), parser=second) == [(1, "info", None, "密码")]


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-26T13:31:25.5Z stdout X text",
        "2026-99-26T13:31:25.5Z stdout F text",
        '{"log":"text\\n","stream":"elsewhere","time":"2026-11-26T13:31:25Z"}',
        '{"log":"text\\n","stream":"stdout"}',
        '{"log":7,"stream":"stdout","time":"2026-11-26T13:31:25Z"}',
        '{"log":"text',
    ],
)
def test_a_line_that_is_not_a_runtimes_is_shipped_as_it_is(line):
    assert [text for *_, text in shipped(line + "\n")] == [line]
    assert [text for *_, text in shipped(cri(1, "a") + line + "\n" + cri(2, "b"))] == ["a", line, "b"]


def test_only_the_first_line_of_a_log_decides_that_it_is_a_containers():
    printed = cri(1, "pretended").rstrip("\n")
    assert [text for *_, text in shipped("hello\n" + printed + "\n")] == ["hello", printed]


def test_plain_takes_every_line_as_it_stands():
    parser = LineParser(EngineTimes(NOW), HeaderCache(), by_keeper=False, plain=True)
    assert [text for *_, text in shipped(cri(1, "text"), parser=parser)] == [cri(1, "text").rstrip("\n")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/var/log/pods/llm-test_qwen-7b-6d4cf56db6-x2x9z_0f7e1d3c-1111-2222-3333-444455556666/vllm/0.log",
            {"namespace": "llm-test", "pod": "qwen-7b-6d4cf56db6-x2x9z", "container": "vllm"},
        ),
        (
            f"/var/log/containers/qwen-7b-0_llm-test_vllm-{CONTAINER_ID}.log",
            {"namespace": "llm-test", "pod": "qwen-7b-0", "container": "vllm"},
        ),
        ("/var/log/app/0.log", {}),
        (f"/var/lib/docker/containers/{CONTAINER_ID}/{CONTAINER_ID}-json.log", {}),
    ],
)
def test_labels_come_from_the_path_of_a_pod(path, expected):
    assert container_labels(path) == expected


def docker_log(directory: Path, config: object) -> Path:
    home = directory / CONTAINER_ID
    home.mkdir()
    (home / "config.v2.json").write_text(json.dumps(config))
    return home / f"{CONTAINER_ID}-json.log"


def test_labels_come_from_dockers_configuration_beside_the_log(tmp_path):
    labels = {"com.docker.compose.project": "bench", "com.docker.compose.service": "vllm", "other": "x"}
    log = docker_log(
        tmp_path, {"Name": "/bench-vllm-1", "Config": {"Image": "vllm/vllm-openai:v0.32", "Labels": labels}}
    )

    assert container_labels(str(log)) == {
        "container": "bench-vllm-1",
        "image": "vllm/vllm-openai:v0.32",
        "project": "bench",
        "service": "vllm",
    }


@pytest.mark.parametrize("config", [[], {"Name": 7, "Config": []}, {"Name": "/a\nb", "Config": {"Labels": None}}])
def test_a_configuration_of_another_shape_gives_no_labels(tmp_path, config):
    assert container_labels(str(docker_log(tmp_path, config))) in ({}, {"container": "7"})


def test_labels_come_from_podmans_list_of_containers(tmp_path):
    # As podman 4.3 with the driver vfs has it; less what is not read.
    metadata = {"image-name": "docker.io/vllm/vllm-openai:v0.32", "image-id": "4a57", "name": "qwen", "created-at": 1}
    containers = [
        {"id": "0" * 64, "names": ["other"], "metadata": "{}"},
        {"id": CONTAINER_ID, "names": ["qwen"], "metadata": json.dumps(metadata)},
    ]
    home = tmp_path / "vfs-containers"
    log = home / CONTAINER_ID / "userdata" / "ctr.log"
    log.parent.mkdir(parents=True)
    (home / "containers.json").write_text(json.dumps(containers))

    assert container_labels(str(log)) == {"container": "qwen", "image": "docker.io/vllm/vllm-openai:v0.32"}
    for broken in (
        "",
        "{}",
        "[7]",
        json.dumps([{"id": CONTAINER_ID}]),
        json.dumps([{"id": CONTAINER_ID, "metadata": "7"}]),
    ):
        (home / "containers.json").write_text(broken)
        assert container_labels(str(log)) == {}


def test_the_labels_of_the_source_win_and_plain_has_none(tmp_path):
    log = str(docker_log(tmp_path, {"Name": "/a", "Config": {}}))
    auto = SourceSettings(glob=log, labels={"team": "x"})
    named = SourceSettings(glob=log, labels={"container": "mine"})
    plain = SourceSettings(glob=log, format="plain")

    found = [file_labels(log, source, AgentSettings(), "h").get("container") for source in (auto, named, plain)]
    assert found == ["a", "mine", None]
