"""What a server ran out of although its log does not say it: by real kernels, file systems and limits."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.memory_group import memory_group

from tracetail.contract.processes import read_process
from tracetail.launcher.engines.causes.cause import Text
from tracetail.launcher.keeper import end_facts, exit_reason
from tracetail.launcher.keeper.finding import KNOWN, UNRECOGNISED, Finding
from tracetail.launcher.keeper.surroundings import Surroundings
from tracetail.launcher.machine import capacity, oom

# As /dev/kmsg has it. Printed by Linux 6.18 when a control group of 60 MiB was full.
KMSG_6_18 = """\
4,339,16762342677,-;python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
6,415,16762353753,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
oom_memcg=/a/kp,task_memcg=/a/kp,task=python3,pid=16367,uid=0
3,416,16762353783,-;Memory cgroup out of memory: Killed process 16367 (python3) total-vm:71928kB, anon-rss:61124kB, \
file-rss:6668kB, shmem-rss:0kB, UID:0 pgtables:172kB oom_score_adj:0
"""
# Linux 4.18 of RHEL 8, the machine's memory: github.com/equinor/ert/issues/7797.
KMSG_4_18_EL8 = """\
6,1,500000000,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
task_memcg=/user.slice/user-21417.slice/user@21417.service,task=perl,pid=1440763,uid=21417
3,2,500000100,-;Out of memory: Killed process 1440763 (perl) total-vm:87033376kB, anon-rss:60356340kB, file-rss:0kB, \
shmem-rss:0kB, UID:21417 pgtables:169956kB oom_score_adj:0
"""
# Linux 3.10 of RHEL 7: TiDB's documentation. The first line of a limit: an article on Java in containers.
KMSG_3_10 = """\
3,9,700000000,-;Out of memory: Kill process 21945 (tidb-server) score 956 or sacrifice child
3,10,700000010,-;Killed process 21945 (tidb-server), UID 1000, total-vm:33027492kB, anon-rss:31303276kB, \
file-rss:0kB, shmem-rss:0kB
"""
KMSG_3_10_LIMIT = KMSG_3_10.replace("Out of memory", "Memory cgroup out of memory")
# A name with parentheses, of a process that systemd has not executed yet: github.com/docker/for-linux/issues/1001.
KMSG_PARENTHESES = """\
3,1,518061172,-;Out of memory: Killed process 15925 ((resolved)) total-vm:168424kB, anon-rss:4064kB, \
file-rss:3584kB, shmem-rss:0kB
"""


@pytest.mark.parametrize(
    ("records", "pids", "group", "expected"),
    [
        (KMSG_6_18, {16367}, "", [(16367, "python3", 59, True)]),
        (KMSG_6_18, set(), "/a/kp", [(16367, "python3", 59, True)]),
        (KMSG_6_18, {1}, "/a", []),
        (KMSG_6_18, {1}, "/", []),
        (KMSG_4_18_EL8, {1440763}, "/", [(1440763, "perl", 58941, False)]),
        (KMSG_3_10, {21945}, "", [(21945, "tidb-server", 30569, False)]),
        (KMSG_3_10_LIMIT, {21945}, "", [(21945, "tidb-server", 30569, True)]),
        (KMSG_PARENTHESES, {15925}, "", [(15925, "(resolved)", 3, False)]),
    ],
)
def test_the_kernels_lines_about_a_process_or_its_group_are_found(records, pids, group, expected):
    lines = iter(records.splitlines())
    found = [kill for kill in oom.logged_kills(0, lines) if kill.concerns(pids, group)]
    assert [(kill.pid, kill.name, kill.resident_mib, kill.by_limit) for kill in found] == expected


def test_kills_before_the_start_do_not_count():
    assert oom.logged_kills(20_000, iter(KMSG_6_18.splitlines())) == []


@pytest.mark.parametrize(("now", "named"), [(6, False), (7, True)])
def test_a_server_killed_while_the_kernel_killed_others_for_memory_was_not_killed_for_it(monkeypatch, now, named):
    counted = iter([5, now])
    monkeypatch.setattr(oom, "machine_kills", lambda: next(counted))
    surroundings = Surroundings([], list)
    other = oom.Kill(16367, "python3", 59, True, "/docker/other", "Killed process 16367")
    monkeypatch.setattr(oom, "logged_kills", lambda since: [other])
    assert [fact.code for fact in surroundings.facts("SIGKILL")] == ["out_of_memory"] * named


@pytest.mark.parametrize(
    ("membership", "files", "kills", "limit"),
    [
        (
            "0::/x/y\n",
            {"x/y/memory.events": "low 0\nhigh 0\nmax 8\noom 2\noom_kill 2\n", "x/y/memory.max": "max\n"},
            2,
            None,
        ),
        ("0::/x/y\n", {"x/memory.events": "oom 1\noom_kill 1\n", "x/memory.max": "1073741824\n"}, 1, 1024),
        (
            "5:devices:/d\n4:cpu,memory:/x\n0::/\n",
            {
                "memory/x/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
                "memory/x/memory.limit_in_bytes": "62914560\n",
            },
            3,
            60,
        ),
        # In a container, v1 shows the host's path, and the mount is the container's own group.
        (
            "4:memory:/docker/ab12\n",
            {
                "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            1,
            None,
        ),
    ],
)
def test_counters_and_limits_of_both_versions_of_control_groups_are_read(tmp_path, membership, files, kills, limit):
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(membership)
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    group = oom.MemoryGroup.of(7, tmp_path / "cgroup", tmp_path / "proc")
    assert (group.kills(), group.limit_mib()) == (kills, limit)


def test_a_server_that_the_kernel_killed_for_memory_is_reported_so(world, tmp_path):
    with memory_group(60) as group:
        hungry = "import os,sys; open(sys.argv[1],'w').write(str(os.getpid())); print('loading', flush=True);"
        hungry += " b=[os.urandom(1<<20) for _ in range(300)]"
        command = [sys.executable, "-c", hungry, str(group / "cgroup.procs")]
        params = world.params([], command=command, traceId="t-oom")
        started = world.run("start", "--params", params)
        record = world.launch(started.result).read()
    assert started.status == 10
    assert record["exit"]["signal"] == "SIGKILL"
    cause = started.result["cause"]
    assert cause.startswith("the kernel's OOM killer ended ")
    assert "control group reached the memory limit" in cause
    if os.access("/dev/kmsg", os.R_OK):
        assert f"process {record['server']['pid']} (python" in cause
        assert "Killed process" in record["exit"]["evidence"][0]


FILL = """
import os, sys
try:
    open(os.environ["TMPDIR"] + "/x", "wb").write(bytes(99 << 20))
except OSError:
    sys.exit(1)
"""
USE_UP_DESCRIPTORS = """
import os
try:
    while True:
        os.open("/dev/null", 0)
except OSError:
    os.write(1, b"x")
    os.read(0, 1)
"""


def full_disk(tmp_path, megabytes=4):
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small file system")
    path = tmp_path / "small"
    path.mkdir()
    size = f"size={megabytes}m"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(path)], check=False).returncode:
        pytest.skip("may not mount here")
    return path


def test_a_full_disk_at_a_path_that_the_server_writes_to_is_named(world, tmp_path):
    small = full_disk(tmp_path)
    try:
        command = [sys.executable, "-c", FILL]
        started = world.run("start", "--params", world.params([], command=command, environ={"TMPDIR": str(small)}))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
    assert started.status == 10
    assert started.result["cause"] == f"the disk of {small} is full"


def test_shared_memory_that_is_full_or_small_explains_a_bus_error(tmp_path):
    small = full_disk(tmp_path)
    try:
        surroundings = Surroundings([], list, shared_memory=small)
        surroundings.sample_space()
        assert surroundings.facts("SIGSEGV") == []
        (fact,) = surroundings.facts("SIGBUS")
        assert (fact.code, fact.cause[0]) == ("shared_memory_full", f"{small} is full: it has 4 MiB")
        (small / "psm_1").write_bytes(bytes(3584 * 1024))
        surroundings.sample_space()
        (small / "psm_1").unlink()  # by the resource tracker of the dead server
        surroundings.sample_space()
        assert [fact.code for fact in surroundings.facts(None)] == ["shared_memory_full"]
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_process_that_has_used_up_its_file_descriptors_is_named(wait_until):
    with subprocess.Popen(
        ["sh", "-c", 'ulimit -n 64; exec "$0" -c "$1"', sys.executable, USE_UP_DESCRIPTORS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout.read(1) == b"x"
        surroundings = Surroundings([], lambda: [read_process(child.pid)])
        surroundings.sample_processes()
        child.stdin.close()
    (fact,) = surroundings.facts(None)
    assert fact.code == "file_descriptors_exhausted"
    assert fact.cause[0].startswith(f"process {child.pid} (")
    assert fact.cause[0].endswith(" has used up its 64 file descriptors")


@pytest.mark.field
def test_a_server_out_of_file_descriptors_becomes_unhealthy_and_says_why(world, wait_until, free_port, tmp_path):
    port, go = free_port(), tmp_path / "go"
    steps = [["serve", port, ["m"]], ["wait", str(go)], ["use-up-descriptors"], ["stay"]]
    started = world.start(
        steps, port=port, readyWhen="http", livenessIntervalSec=1, livenessTimeoutSec=6, readyTimeoutSec=60
    )
    launch = world.launch(started.result)
    go.touch()
    record = wait_until(lambda: (found := launch.read())["state"] == "unhealthy" and found)
    assert "has used up its 128 file descriptors" in record["health"]["cause"]
    assert "ulimit -n" in record["health"]["hint"]
    assert world.run("stop", "--model-name", "m").status == 0


def finding(code, kind=KNOWN, **more):
    return Finding(code, kind, Text("of the log", "日志"), Text("", ""), [], **more)


MEMORY = end_facts.killed_for_memory(7, "python3", 900, 1024, by_limit=True, line="Killed process 7")
DISK = end_facts.disk_full("/tmp", no_files=False)
REMOVED = end_facts.container_removed("podman")


@pytest.mark.parametrize(
    ("of_log", "fact", "code"),
    [
        (None, DISK, "disk_full"),
        (finding("killed", own_end=True), DISK, "disk_full"),
        (finding("gpu_out_of_memory"), DISK, "gpu_out_of_memory"),
        (finding("terminated", own_end=True), DISK, "terminated"),
        (finding(UNRECOGNISED, UNRECOGNISED), DISK, UNRECOGNISED),
        (None, MEMORY, "out_of_memory"),
        (finding("killed", own_end=True), MEMORY, "out_of_memory"),
        (finding("engine_died", consequence=True), MEMORY, "out_of_memory"),
        (finding(UNRECOGNISED, UNRECOGNISED), MEMORY, "out_of_memory"),
        (finding("gpu_out_of_memory"), MEMORY, "gpu_out_of_memory"),
        (finding("terminated", own_end=True), MEMORY, "terminated"),
        (finding("terminated", own_end=True), REMOVED, "container_removed"),
        (finding("killed", own_end=True), REMOVED, "container_removed"),
        (finding("gpu_out_of_memory"), REMOVED, "gpu_out_of_memory"),
    ],
)
def test_a_fact_explains_an_end_that_the_log_does_not(of_log, fact, code):
    assert exit_reason.weigh(of_log, [fact]).code == code


def test_the_kernels_word_about_memory_wins_over_an_error_that_a_server_ended_by_sigkill_had_survived():
    of_log = finding("hccl_failed")
    assert exit_reason.weigh(of_log, [MEMORY], killed=True).code == "out_of_memory"
    unsure = MEMORY._replace(certain=False)  # some process of the machine: MindIE may have ended itself
    assert [exit_reason.weigh(of_log, facts, killed=True).code for facts in ([unsure], [DISK], [])] == [
        "hccl_failed"
    ] * 3


@pytest.mark.parametrize(
    ("code", "signal", "killed"),
    [(None, "SIGKILL", True), (137, None, True), (1, None, False), (None, "SIGTERM", False)],
)
def test_a_server_is_killed_by_sigkill_itself_or_as_its_shell_reports_it(code, signal, killed):
    child = SimpleNamespace(code=code, signal=signal)
    assert exit_reason.is_killed(child) is killed


def test_an_unrecognised_error_beside_a_full_disk_has_it_in_its_hint():
    found = exit_reason.weigh(finding(UNRECOGNISED, UNRECOGNISED), [DISK])
    assert (found.text.en, found.hint.en.startswith("the disk of /tmp is full: free space")) == ("of the log", True)


def test_the_text_about_memory_names_process_size_and_limit_in_both_languages():
    english, chinese = MEMORY.cause
    assert english.startswith("the kernel's OOM killer ended process 7 (python3), which held 900 MiB: ")
    assert english.endswith("its control group reached the memory limit of 1024 MiB")
    assert chinese == "内核 OOM killer 结束了进程 7（python3，占用 900 MiB）：所在 cgroup 达到内存上限 1024 MiB"


def test_the_directories_that_a_server_writes_to_are_those_of_its_environment_that_exist():
    found = capacity.written_paths({"TMPDIR": "/var", "HF_HOME": "/nowhere"}, "/usr")
    assert found == [Path("/var"), Path("/usr"), Path("/tmp")]
