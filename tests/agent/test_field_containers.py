"""Logs of containers that a real dockerd and a real podman wrote, followed by a whole agent.

What a runtime wrote is read here on its own, by the formats' definitions: moby, daemon/logger/jsonfilelog, and
kubernetes/design-proposals-archive, node/kubelet-cri-logging.md.
"""

import asyncio
import contextlib
import datetime as dt
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.agent_loki import LokiStandIn
from support.agent_process import AgentProcess
from support.container_runtimes import (
    DOCKER_PROGRAMS,
    PODMAN_PROGRAMS,
    DockerEngine,
    Podman,
    docker_engine,
    podman_storage,
)
from support.waiting import eventually

from tracetail.contract.logline import parse_event

pytestmark = [pytest.mark.field, pytest.mark.timeout(300)]
needs_docker = pytest.mark.needs(*DOCKER_PROGRAMS)
needs_podman = pytest.mark.needs(*PODMAN_PROGRAMS)

NAMESPACE, POD, UID = "llm-test", "qwen-7b-6d4cf56db6-x2x9z", "0f7e1d3c-1111-2222-3333-444455556666"
QUITE_LONG_SECONDS = 180
"""What is written within a second may take minutes to be read and shipped on a busy machine."""
TOLERANCE_NS = 50_000_000
"""A line is moved behind the line before it: those that a runtime read at once have one time, and a line that came in
pieces has the time of its first."""

LINES = [
    "plain",
    "加载模型权重：42% ✓",
    "",
    "  indented",
    "a" * 20_000,
    "b" * 100_000,
    "\x1b[31mred\x1b[0m",
    "bar 1\rbar 2",
    "2026-11-26T14:31:25.123456789Z stdout F printed by the program",
    '{"log":"printed, too\\n","stream":"stdout","time":"2026-11-26T13:31:25Z"}',
    "the last one, without an end",
]
PRINT_LINES = r"""
echo plain
echo '加载模型权重：42% ✓'
echo
echo '  indented'
head -c 20000 /dev/zero | tr '\0' a; echo
head -c 100000 /dev/zero | tr '\0' b; echo
printf '\033[31mred\033[0m\n'
printf 'bar 1\rbar 2\n'
echo '2026-11-26T14:31:25.123456789Z stdout F printed by the program'
echo '{"log":"printed, too\n","stream":"stdout","time":"2026-11-26T13:31:25Z"}'
printf 'the last one, without an end'
"""
PRINT_BOTH = "for i in $(seq 200); do echo out $i; echo err $i >&2; done"
PRINT_RUBBISH = r"""
printf '\377\376\200\001\002\003\004\005\006\007 rubbish\n'
head -c 3000 /bin/busybox
echo
echo after
"""


class Written(NamedTuple):
    """A line that a program printed, as a runtime wrote it."""

    time_ns: int
    stream: str
    text: str


def nanoseconds(stamp: str) -> int:
    """Return an RFC 3339 timestamp in nanoseconds since the epoch."""
    second, fraction, zone = re.fullmatch(r"(.{19})(?:\.(\d+))?(.+)", stamp).groups()
    whole = dt.datetime.fromisoformat(second + zone).timestamp()
    return int(whole) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def written_by_docker(data: bytes) -> list[Written]:
    pieces = []
    for line in data.decode().splitlines():
        fields = json.loads(line)
        # Docker cuts a line at 16 KiB; a shorter piece without an end is the last of a program.
        complete = fields["log"].endswith("\n") or len(fields["log"].encode()) < 16_384
        pieces.append((nanoseconds(fields["time"]), fields["stream"], fields["log"].removesuffix("\n"), complete))
    return joined(pieces)


def written_by_cri(data: bytes) -> list[Written]:
    pieces = []
    for line in data.decode(errors="replace").split("\n")[:-1]:
        stamp, stream, tag, text = line.split(" ", 3)
        pieces.append((nanoseconds(stamp), stream, text, tag == "F"))
    return joined(pieces)


def joined(pieces: list[tuple[int, str, str, bool]]) -> list[Written]:
    found, pending = [], {}
    for time_ns, stream, text, complete in pieces:
        first_ns, before = pending.pop(stream, (time_ns, ""))
        if complete:
            found.append(Written(first_ns, stream, before + text))
        else:
            pending[stream] = first_ns, before + text
    return found + [Written(time_ns, stream, text) for stream, (time_ns, text) in pending.items()]


class Shipped(NamedTuple):
    """What came of a container's log."""

    time_ns: int
    text: str


def shipped(loki: LokiStandIn, *labels: str) -> list[Shipped]:
    """Return the lines of the streams that have these labels, as `container="a"`; pieces that were cut are joined."""
    found, cut_ns, before = [], 0, ""
    for entry in loki.entries():
        metadata = dict(entry.metadata)
        if metadata.get("kind") == "event" or not all(label in entry.labels for label in labels):
            continue
        if metadata.get("kind") == "cut":
            cut_ns, before = cut_ns or entry.time_ns, before + entry.line
            continue
        found.append(Shipped(cut_ns or entry.time_ns, before + entry.line))
        cut_ns, before = 0, ""
    return [*found, Shipped(cut_ns, before)] if before else found


def gaps(loki: LokiStandIn) -> list[dict[str, str]]:
    return [event.fields for event in map(parse_event, loki.lines(events=True)) if event and event.name == "gap"]


async def texts_arrived(loki: LokiStandIn, wanted: list[str], *labels: str) -> None:
    """Wait until each text has come, once."""
    texts = Counter(wanted)

    def came() -> Counter[str]:
        return Counter(line.text for line in shipped(loki, *labels))

    # However slow the machine is: what nothing was pushed of for a time will not come.
    pushes, still_coming = -1, True
    while texts - came() and still_coming:
        pushes = len(loki.bodies)
        with contextlib.suppress(TimeoutError):
            await loki.until(lambda: not texts - came())
        still_coming = len(loki.bodies) > pushes
    assert (shortened(texts - came()), shortened(came() - texts)) == ([], [])


def shortened(texts: Counter[str]) -> list[str]:
    return [text if len(text) < 60 else f"{text[:20]} … {text[-20:]} ({len(text)})" for text in texts.elements()]


async def arrived(loki: LokiStandIn, wanted: list[Written], *labels: str) -> None:
    """Wait until each line has come, once, and with the runtime's own time."""
    await texts_arrived(loki, [line.text for line in wanted], *labels)
    entries = shipped(loki, *labels)
    assert len({entry.time_ns for entry in entries}) == len(entries)
    times = sorted((line.text, line.time_ns) for line in wanted)
    for entry, (text, time_ns) in zip(sorted(entries, key=lambda e: (e.text, e.time_ns)), times, strict=True):
        assert entry.text == text
        assert 0 <= entry.time_ns - time_ns < TOLERANCE_NS


def sources(*globs: str | Path) -> str:
    return "[agent]\n" + "".join(f'[[agent.sources]]\nglob = "{glob}"\n' for glob in globs)


# Docker


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerEngine]:
    with docker_engine() as engine:
        yield engine


@pytest.fixture
async def follow_docker(start_agent, docker: DockerEngine) -> Callable[[], AgentProcess]:
    async def start() -> AgentProcess:
        return await start_agent(sources(docker.containers / "*" / "*-json.log"))

    yield start
    await asyncio.to_thread(docker.remove_containers)


async def run(docker: DockerEngine, script: str, *options: str) -> str:
    return await asyncio.to_thread(docker.run, *options, command=("sh", "-c", script))


async def finished(docker: DockerEngine, container: str) -> list[Written]:
    """Wait for the end of a container; return what Docker wrote of it."""
    await asyncio.to_thread(docker, "wait", container)
    return written_by_docker(docker.log_path(container).read_bytes())


@needs_docker
async def test_dockers_lines_come_once_with_their_time_and_labels(
    docker: DockerEngine, follow_docker, loki: LokiStandIn
) -> None:
    await follow_docker()
    labels = ("com.docker.compose.project=bench", "com.docker.compose.service=vllm")
    container = await run(docker, PRINT_LINES, "--name", "bench-vllm-1", *(f"--label={label}" for label in labels))
    written = await finished(docker, container)
    assert [line.text for line in written] == LINES
    await arrived(
        loki, written, 'container="bench-vllm-1"', 'image="busybox-static"', 'project="bench"', 'service="vllm"'
    )
    assert gaps(loki) == []


@needs_docker
@pytest.mark.parametrize("script", [PRINT_BOTH, PRINT_RUBBISH], ids=["both streams", "rubbish"])
async def test_dockers_streams_and_rubbish_come_once(
    docker: DockerEngine, follow_docker, loki: LokiStandIn, script: str
) -> None:
    await follow_docker()
    container = await run(docker, script, "--name", "qwen")
    await arrived(loki, await finished(docker, container), 'container="qwen"')
    assert gaps(loki) == []


@needs_docker
async def test_the_carriage_returns_of_a_terminal_are_not_part_of_dockers_lines(
    docker: DockerEngine, follow_docker, loki: LokiStandIn
) -> None:
    await follow_docker()
    container = await run(docker, "echo one; echo; echo 加载", "--tty", "--name", "qwen")
    written = await finished(docker, container)
    assert [line.text for line in written] == ["one\r", "\r", "加载\r"]
    await arrived(loki, [line._replace(text=line.text.removesuffix("\r")) for line in written], 'container="qwen"')


@needs_docker
@pytest.mark.parametrize(
    "options",
    [
        ("max-size=20k", "max-file=50"),
        ("max-size=20k", "max-file=50", "compress=true"),
        ("max-size=5k", "max-file=400"),
    ],
    ids=["renamed", "compressed", "within long lines"],
)
async def test_every_line_comes_once_while_docker_rotates(
    docker: DockerEngine, follow_docker, loki: LokiStandIn, options: tuple[str, ...]
) -> None:
    await follow_docker()
    long = "head -c 20000 /dev/zero | tr '\\0' z; echo; " if "max-size=5k" in options else ""
    script = (
        f"for i in $(seq 1500); do echo line $i of a server; [ $((i % 50)) = 0 ] && {{ {long} usleep 300000; }}; done"
    )
    container = await run(docker, script, "--name", "qwen", *(f"--log-opt={option}" for option in options))
    await asyncio.to_thread(docker, "wait", container)
    texts = [f"line {number} of a server" for number in range(1, 1501)] + ["z" * 20_000] * (30 if long else 0)
    await texts_arrived(loki, texts, 'container="qwen"')
    assert len(list(docker.log_path(container).parent.glob("*-json.log*"))) > 3
    assert gaps(loki) == []


@needs_docker
async def test_what_docker_deletes_before_it_is_read_is_a_gap_or_comes(
    docker: DockerEngine, follow_docker, loki: LokiStandIn
) -> None:
    # With one file Docker truncates it; with two, a fast program's lines are gone within milliseconds.
    await follow_docker()
    for name, files in (("one", 1), ("two", 2)):
        script = """
            echo line 0; while [ ! -e /tmp/go ]; do usleep 50000; done
            for i in $(seq 20000); do echo line $i of a server that prints fast; done"""
        limits = ("--log-opt=max-size=50k", f"--log-opt=max-file={files}")
        container = await run(docker, script, "--name", name, *limits)
        await eventually(lambda name=name: shipped(loki, f'container="{name}"'))
        await asyncio.to_thread(docker, "exec", name, "touch", "/tmp/go")
        await asyncio.to_thread(docker, "wait", container)
        await eventually(
            lambda name=name: any("line 20000 " in line.text for line in shipped(loki, f'container="{name}"')),
            "the last line",
            QUITE_LONG_SECONDS,
        )
        texts = [line.text for line in shipped(loki, f'container="{name}"')]
        assert len(texts) == len(set(texts))
        lost = len(texts) < 20_001
        assert not lost or any(str(docker.log_path(container)) in gap["file"] for gap in gaps(loki)), (
            name,
            gaps(loki),
        )


@needs_docker
async def test_a_container_that_is_removed_while_it_prints_is_read_to_its_end(
    docker: DockerEngine, follow_docker, loki: LokiStandIn
) -> None:
    await follow_docker()
    container = await run(docker, "while :; do echo tick; usleep 1000; done", "--name", "qwen")
    await eventually(lambda: shipped(loki, 'container="qwen"'))
    with docker.log_path(container).open("rb") as log:
        await asyncio.to_thread(docker, "rm", "--force", container)
        written = written_by_docker(log.read())
    await arrived(loki, written, 'container="qwen"')
    assert gaps(loki) == []


@needs_docker
async def test_a_container_that_lives_for_a_moment_and_removes_itself_is_read(
    docker: DockerEngine, follow_docker, loki: LokiStandIn
) -> None:
    await follow_docker()
    for number in range(5):
        await run(docker, f"for i in 1 2 3; do echo {number} $i; done; usleep 400000", "--rm", "--name", f"x{number}")
    texts = [f"{number} {line}" for number in range(5) for line in range(1, 4)]
    await eventually(lambda: sorted(line.text for line in shipped(loki)) == texts)


@needs_docker
async def test_a_log_of_docker_that_somebody_truncates_goes_on(
    docker: DockerEngine, follow_docker, loki: LokiStandIn
) -> None:
    # truncate -s 0 $(docker inspect -f {{.LogPath}} …), as it is advised everywhere
    await follow_docker()
    container = await run(docker, "for i in $(seq 60); do echo line $i; usleep 100000; done", "--name", "qwen")
    for count in (10, 30):
        await eventually(lambda count=count: len(shipped(loki, 'container="qwen"')) >= count)
        docker.log_path(container).write_bytes(b"")
    await asyncio.to_thread(docker, "wait", container)
    await eventually(lambda: shipped(loki, 'container="qwen"')[-1].text == "line 60")
    texts = [line.text for line in shipped(loki, 'container="qwen"')]
    assert len(texts) == len(set(texts))
    assert len(texts) == 60 or gaps(loki)


@needs_docker
async def test_a_container_that_is_started_again_goes_on_in_its_stream(
    docker: DockerEngine, follow_docker, loki: LokiStandIn
) -> None:
    agent = await follow_docker()
    container = await run(docker, "echo started; sleep 600", "--name", "qwen", "--stop-timeout=0")
    await eventually(lambda: len(shipped(loki, 'container="qwen"')) == 1)
    await asyncio.to_thread(docker, "restart", "--time", "0", "qwen")
    await agent.stop()
    await asyncio.to_thread(docker, "restart", "--time", "0", "qwen")
    await follow_docker()
    await arrived(loki, written_by_docker(docker.log_path(container).read_bytes()), 'container="qwen"')
    assert len(shipped(loki)) == 3


@needs_docker
async def test_dockerd_that_is_killed_and_comes_back(start_agent, loki: LokiStandIn) -> None:
    with docker_engine("--live-restore") as docker:
        await start_agent(sources(docker.containers / "*" / "*-json.log"))
        container = await run(docker, "for i in $(seq 1000); do echo line $i; usleep 10000; done", "--name", "qwen")
        await eventually(lambda: shipped(loki, 'container="qwen"'))
        docker.end(9)
        await asyncio.to_thread(docker.start, "--live-restore")
        await asyncio.to_thread(docker, "wait", container)
        await arrived(loki, written_by_docker(docker.log_path(container).read_bytes()), 'container="qwen"')
        assert shipped(loki)[-1].text == "line 1000"


# Podman, and the directories of a kubelet


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    with podman_storage() as storage:
        yield storage


@pytest.fixture
async def clean_podman(podman: Podman):
    yield podman
    await asyncio.to_thread(podman.stop)


async def run_podman(podman: Podman, script: str, *options: str | Path) -> str:
    words = ("--log-driver=k8s-file", *map(str, options))
    return await asyncio.to_thread(podman.run, *words, command=("sh", "-c", script))


@needs_podman
@pytest.mark.parametrize("script", [PRINT_LINES, PRINT_BOTH, PRINT_RUBBISH], ids=["lines", "both streams", "rubbish"])
async def test_podmans_lines_come_once_with_their_time_and_labels(
    clean_podman: Podman, start_agent, loki: LokiStandIn, script: str
) -> None:
    podman = clean_podman
    await start_agent(sources(podman.directory / "root" / "*-containers" / "*" / "userdata" / "ctr.log"))
    container = await run_podman(podman, script, "--name", "qwen")
    await asyncio.to_thread(podman, "wait", container)
    written = written_by_cri(podman.log_path("qwen").read_bytes())
    assert script != PRINT_LINES or [line.text for line in written] == LINES
    await arrived(loki, written, 'container="qwen"', 'image="localhost/busybox-static:latest"')
    assert gaps(loki) == []


@needs_podman
async def test_every_line_comes_once_while_podman_rotates(
    clean_podman: Podman, start_agent, loki: LokiStandIn, tmp_path: Path
) -> None:
    # conmon writes to a new file, and renames that over the old one.
    podman = clean_podman
    await start_agent(sources(tmp_path / "*.log"))
    script = "for i in $(seq 1500); do echo line $i of a server; [ $((i % 50)) = 0 ] && usleep 200000; done"
    container = await run_podman(podman, script, "--log-opt=max-size=20k", f"--log-opt=path={tmp_path}/ctr.log")
    await asyncio.to_thread(podman, "wait", container)
    await texts_arrived(loki, [f"line {number} of a server" for number in range(1, 1501)])
    assert (tmp_path / "ctr.log").stat().st_size < 30_000
    assert gaps(loki) == []


class Pod:
    """The log of a container in a kubelet's directories, which podman writes and this rotates as a kubelet does.

    Source: kubernetes, pkg/kubelet/logs/container_log_manager.go. A word in its control FIFO makes conmon open the
    log anew, as by CRI-O.
    """

    def __init__(self, podman: Podman, root: Path) -> None:
        self._podman = podman
        self.logs = root / "pods" / f"{NAMESPACE}_{POD}_{UID}" / "vllm"
        self.logs.mkdir(parents=True)
        self._links = root / "containers"
        self._links.mkdir()
        self._rotations = 0
        self.written: list[Written] = []
        self._container = ""

    async def run(self, script: str, restart: int = 0) -> None:
        self._log = self.logs / f"{restart}.log"
        self._container = await run_podman(self._podman, script, f"--log-opt=path={self._log}")
        (self._links / f"{POD}_{NAMESPACE}_vllm-{self._container}.log").symlink_to(self._log)

    async def stop(self) -> None:
        await asyncio.to_thread(self._podman, "kill", "--signal", "TERM", self._container)
        await asyncio.to_thread(self._podman, "wait", self._container)
        self.written += written_by_cri(self._log.read_bytes())

    async def rotate(self) -> None:
        for old in self.logs.glob("*.log.*[0-9]"):
            packing = old.with_name(old.name + ".tmp")
            packing.write_bytes(gzip.compress(old.read_bytes()))
            packing.rename(old.with_name(old.name + ".gz"))
            old.unlink()
        self._rotations += 1
        rotated = self._log.with_name(f"{self._log.name}.20261127-0247{self._rotations:02d}")
        self._log.rename(rotated)
        control = self._podman.directory / "root" / "vfs-containers" / self._container / "userdata" / "ctl"
        control.write_text("2 0 0\n")
        await eventually(self._log.exists)
        self.written += written_by_cri(rotated.read_bytes())


@needs_podman
@pytest.mark.parametrize(
    "globs",
    [("pods/*/*/*.log",), ("containers/*.log",), ("pods/*/*/*", "containers/*.log")],
    ids=["pods", "links", "both"],
)
async def test_a_kubelets_logs_come_once_with_their_labels_through_rotations_and_restarts(
    clean_podman: Podman, start_agent, loki: LokiStandIn, tmp_path: Path, globs: tuple[str, ...]
) -> None:
    pod = Pod(clean_podman, tmp_path)
    await start_agent(sources(*(tmp_path / glob for glob in globs)))
    labels = (f'namespace="{NAMESPACE}"', f'pod="{POD}"', 'container="vllm"')
    # It goes on until it is stopped: conmon opens a log anew only as long as its container runs.
    ending = "while :; do usleep 50000; done"
    for restart in range(2):
        lines = f"for i in $(seq 500); do echo {restart} line $i; usleep 25000; done"
        await pod.run(f"trap 'exit 0' TERM; {lines}; {ending}", restart)
        seen = restart * 500
        for _ in range(3):
            # Some lines after each other: a new directory is found within seconds only, when many are there already.
            await eventually(lambda count=seen + 50: len(shipped(loki, *labels)) >= count)
            await pod.rotate()
            seen = len(shipped(loki, *labels))
        await eventually(lambda count=(restart + 1) * 500: len(shipped(loki, *labels)) >= count)
        await pod.stop()
    assert len(pod.written) == 1000
    await arrived(loki, pod.written, *labels)
    assert len(shipped(loki)) == 1000
    assert gaps(loki) == []
