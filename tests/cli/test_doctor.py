"""`tracetail doctor`: a healthy set-up, and each thing that can be wrong with one."""

import asyncio
import email.utils
import json
import os
import re
import resource
import time
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support import commands, monitoring
from support.agent_loki import LokiStandIn
from support.agent_process import Launch
from support.environment import environment, free_port, guarded
from support.machine import Machine

from tracetail.agent.parsing import scan
from tracetail.cli import configuration, launch_checks, machine_checks, service_checks
from tracetail.cli.doctor import examine
from tracetail.cli.findings import OK, PROBLEM, WARNING
from tracetail.contract import outbox
from tracetail.contract.processes import process_ref

MISSING = "/nonexistent/secret"


def load(tmp_path, text=""):
    path = tmp_path / "doctor.toml"
    path.write_text(text)
    return configuration.load(str(path), {})


async def collected(findings):
    return [finding async for finding in findings]


def advised(findings, level, *words):
    """Return the one finding of this level that has these words, and see that it says what to do."""
    fitting = [f for f in findings if f.level == level and all(word in f"{f.text} → {f.advice}" for word in words)]
    assert len(fitting) == 1, findings
    assert fitting[0].advice
    return fitting[0]


# --- the build


def test_plain_loops_are_pointed_out(monkeypatch):
    monkeypatch.setattr(scan, "COMPILED", False)
    advised(list(machine_checks.check_build()), WARNING, "plain Python", "gcc")


# --- the command


def test_a_healthy_set_up_has_no_findings_but_good_ones(tmp_path):
    machine = Machine(tmp_path)
    machine.environ = guarded(machine.environ)
    try:
        for part in ("store", "agent", "panel"):
            machine.start(part)
            machine.environ[f"TRACETAIL_{part.upper()}_LISTEN"] = machine.addresses[part].removeprefix("http://")
        run = machine.tracetail("doctor", "--json")
        shown = machine.tracetail("doctor")
    finally:
        machine.close()

    findings = json.loads(run.stdout)
    # The machine that runs this may have little room or few open files; that is no part of the set-up.
    of_the_set_up = [finding for finding in findings if finding["subject"] not in {"disk", "limits", "state"}]
    assert {finding["level"] for finding in of_the_set_up} == {"ok"}, findings
    assert {"configuration", "addresses", "launches", "clock", "loki", "agent", "panel"} <= {
        finding["subject"] for finding in findings
    }
    assert run.returncode == 0
    assert "read back after" in shown.stdout
    assert "0 problems" in shown.stdout


def test_a_broken_set_up_is_exit_status_1_and_says_what_to_do(tmp_path):
    environ = environment()
    environ |= {"TRACETAIL_STATE_DIR": str(tmp_path), "TRACETAIL_LOKI_URL": "http://127.0.0.1:1"}

    run = commands.run("doctor", env=environ, text=True)

    assert run.returncode == 1
    assert "✗ loki: Loki at http://127.0.0.1:1 cannot be reached" in run.stdout
    assert "    → look at loki.url" in run.stdout


async def test_a_configuration_that_cannot_be_read_is_the_only_finding(tmp_path):
    path = tmp_path / "tracetail.toml"
    path.write_text("[loki]\nurll = 1\n")

    (finding,) = await collected(examine(str(path)))

    assert finding.level == PROBLEM
    assert "did you mean url?" in finding.text


# --- this machine


def test_secrets_that_are_missing_empty_or_everybodys(tmp_path):
    empty, open_to_all, good = (tmp_path / name for name in ("empty", "open", "good"))
    for path, text, mode in ((empty, "\n", 0o600), (open_to_all, "s", 0o644), (good, "s", 0o600)):
        path.write_text(text)
        path.chmod(mode)
    settings = load(
        tmp_path,
        f'[loki]\npassword_file = "{MISSING}"\nbearer_token_file = "{good}"\n'
        f'[agent]\nsecret_file = "{empty}"\n[store]\nsecret_file = "{open_to_all}"\n',
    )

    findings = list(machine_checks.check_secrets(settings))

    advised(findings, PROBLEM, "loki.password_file", "cannot be read: No such file", "create")
    advised(findings, PROBLEM, "agent.secret_file", "is empty")
    advised(findings, WARNING, "store.secret_file", "chmod o-rwx")
    assert [finding.text for finding in findings if finding.level == OK] == [f"loki.bearer_token_file: {good}"]


def test_addresses_that_are_unsafe_or_taken_twice(tmp_path):
    settings = load(
        tmp_path,
        '[agent]\nlisten = "127.0.0.1:9999"\n[panel]\nlisten = "127.0.0.1:9999"\n',
    )
    findings = list(machine_checks.check_addresses(settings))
    advised(findings, PROBLEM, "agent.listen and panel.listen are both 127.0.0.1:9999")

    settings = load(tmp_path, '[agent]\nlisten = "0.0.0.0:9464"\n')
    advised(list(machine_checks.check_addresses(settings)), PROBLEM, "without a secret", "set agent.secret_file")


def test_globs_that_match_nothing(tmp_path):
    (tmp_path / "here.log").touch()
    sources = "".join(f'[[agent.sources]]\nglob = "{tmp_path}/{glob}"\n' for glob in ("*.log", "*.txt"))
    findings = list(machine_checks.check_sources(load(tmp_path, sources)))
    advised(findings, WARNING, f"the glob {tmp_path}/*.txt of agent.sources matches no file", "correct the glob")
    settings = load(tmp_path, f'[[agent.sources]]\nglob = "{tmp_path}/*.log"\n')
    assert [finding.level for finding in machine_checks.check_sources(settings)] == [OK]


def test_a_state_directory_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.touch()

    findings = list(launch_checks.check_state_dir({"TRACETAIL_STATE_DIR": str(file / "state")}))

    advised(findings, PROBLEM, "may not write to", "TRACETAIL_STATE_DIR")


@pytest.mark.parametrize(
    ("mode", "level", "advice"), [(0o750, OK, ""), (0o777, WARNING, "chmod o-w"), (0o700, WARNING, "chmod g+rx")]
)
def test_a_state_directory_with_other_rights(tmp_path, mode, level, advice):
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)

    (finding,) = launch_checks.check_state_dir({"TRACETAIL_STATE_DIR": str(state)})

    assert finding.level == level
    assert advice in finding.advice


def test_launches_that_are_orphaned_dead_or_unreadable(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    kept = Launch(state, 1, server=process_ref(os.getpid()))
    orphan = Launch(state, 2, server=process_ref(os.getpid()))
    orphan.lock.release()
    dead = Launch(state, 3)
    dead.lock.release()
    broken = Launch(state, 4)
    broken.dir.record_path.write_text("{")
    settings = load(tmp_path, f'[agent]\nstate_dirs = ["{state}"]\n')

    findings = list(launch_checks.check_launches(settings, {}))

    advised(findings, WARNING, orphan.launch_id, "without a keeper", "tracetail status --model-name")
    advised(findings, WARNING, dead.launch_id, "is ready on record, but nothing of it is alive")
    advised(findings, PROBLEM, broken.launch_id, "not valid JSON", "repair or remove")
    assert not [finding for finding in findings if kept.launch_id in finding.text]
    kept.lock.release()


def test_callbacks_that_their_receiver_does_not_accept(tmp_path):
    settings = load(tmp_path, f"[agent]\nstate_dirs = ['{tmp_path}']")
    directory = tmp_path / "launches" / "20261122T120000-aaaaaa" / "outbox"
    directory.mkdir(parents=True)
    url, now = "https://bot:pw@platform.example/api/report?key=k", time.time()
    for number, age in enumerate((600, 30, 1)):
        body = {"eventId": f"event{number}", "event": "ready"}
        outbox.put(directory, {"url": url, "tokenFile": "", "createdAt": now - age, "attempts": 9, "body": body})
    found = advised(
        list(launch_checks.check_callbacks(settings, {}, now)),
        WARNING,
        "2 wait for",
        "10 min",
        "logs what it answers",
    )
    assert "https://platform.example/api/report," in found.text
    for path in outbox.pending(directory):
        path.unlink()
    assert list(launch_checks.check_callbacks(settings, {}, now)) == []


def test_a_state_directory_of_the_agent_that_does_not_exist(tmp_path):
    settings = load(tmp_path, f'[agent]\nstate_dirs = ["{tmp_path}/none"]\n')

    advised(list(launch_checks.check_launches(settings, {})), PROBLEM, "cannot be read", "group")


@pytest.mark.parametrize(
    ("cgroup", "kill_mode", "named"),
    [
        ("0::/system.slice/powerjob-worker.service\n", "control-group", True),
        ("1:name=systemd:/system.slice/powerjob-worker.service\n0::/\n", "mixed", True),
        ("0::/system.slice/powerjob-worker.service\n", "process", False),
        ("0::/system.slice/run-r3.scope\n", "control-group", False),
        ("0::/\n", "control-group", False),
    ],
)
def test_servers_that_would_be_ended_with_the_worker(tmp_path, monkeypatch, cgroup, kill_mode, named):
    state = tmp_path / "state"
    state.mkdir()
    launch = Launch(state, keeper=process_ref(os.getpid()))
    cgroups = tmp_path / "proc" / str(os.getpid()) / "cgroup"
    cgroups.parent.mkdir(parents=True)
    cgroups.write_text(cgroup)
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.parent.mkdir()
    systemctl.write_text(f'#!/bin/sh\n[ "$4" = powerjob-worker.service ] && echo {kill_mode}\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(systemctl.parent), prepend=":")
    settings = load(tmp_path, f'[agent]\nstate_dirs = ["{state}"]\n')

    findings = list(launch_checks.check_survival(settings, {}, tmp_path / "proc"))

    if named:
        advised(findings, WARNING, "stopping powerjob-worker.service", launch.launch_id, "KillMode=process")
    else:
        assert findings == []


@pytest.mark.parametrize(
    ("free", "inodes", "level"), [(100, 10**6, OK), (5, 10**6, WARNING), (100, 50, WARNING), (0.5, 10**6, PROBLEM)]
)
def test_room_on_the_disk(free, inodes, level):
    finding = machine_checks.judge_disk(Path("/var"), int(free * machine_checks.GIB), inodes)

    assert finding.level == level
    assert bool(finding.advice) == (level != OK)


def test_limits_that_are_low(tmp_path, monkeypatch):
    inotify = tmp_path / "sys" / "fs" / "inotify"
    inotify.mkdir(parents=True)
    (inotify / "max_user_watches").write_text("100\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))

    findings = list(machine_checks.check_limits(tmp_path))

    advised(findings, WARNING, "only 100 directories", "max_user_watches=65536")
    advised(findings, WARNING, "256 files", "ulimit -n 1024")


def test_inotify_that_is_used_up():
    # The kernel gives the same answer, EMFILE, to a process that may open no more files.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        finding = machine_checks._inotify()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert finding.level == PROBLEM
    assert "max_user_instances" in finding.advice


# --- the others


@pytest.fixture
async def loki():
    stand_in = LokiStandIn()
    await stand_in.start()
    yield stand_in
    await stand_in.stop()


def _answering(status, text):
    async def behave(_entries, _loki):
        return web.Response(status=status, text=text)

    return behave


@pytest.mark.parametrize(
    ("status", "text", "advice"),
    [
        (401, "no credentials", "loki.bearer_token_file"),
        (404, "not found", "loki.url must be the base address"),
        (400, "structured metadata was passed, but the feature is disabled", "loki.structured_metadata = false"),
        (429, "rate limit", "Loki's limits"),
    ],
)
async def test_a_push_that_is_refused(tmp_path, loki, status, text, advice):
    loki.always = _answering(status, text)
    settings = load(tmp_path, f'[loki]\nurl = "{loki.url}"\n')

    findings = await collected(service_checks.check_loki(settings))

    advised(findings, PROBLEM, f"answered {status}", advice)


async def test_a_line_that_cannot_be_read_back(tmp_path, loki, monkeypatch):
    monkeypatch.setattr(service_checks, "READ_BACK_SECONDS", 0.3)
    loki.always = _answering(204, "")  # a front that takes everything and keeps nothing
    settings = load(tmp_path, f'[loki]\nurl = "{loki.url}"\n')

    findings = await collected(service_checks.check_loki(settings))

    advised(findings, PROBLEM, "was not found within", "loki.tenant")


async def test_nobody_at_lokis_address(tmp_path):
    port = free_port()
    settings = load(tmp_path, f'[store]\nlisten = "127.0.0.1:{port}"\n')
    advised(await collected(service_checks.check_loki(settings)), PROBLEM, "cannot be reached", "tracetail store")

    settings = load(tmp_path, f'[loki]\nurl = "http://127.0.0.1:{port}/"\n')
    advised(await collected(service_checks.check_loki(settings)), PROBLEM, "cannot be reached", "loki.url")


async def test_a_setting_of_loki_that_names_a_missing_file(tmp_path, loki):
    settings = load(tmp_path, f'[loki]\nurl = "{loki.url}"\nbearer_token_file = "{MISSING}"\n')

    advised(await collected(service_checks.check_loki(settings)), PROBLEM, "loki.bearer_token_file cannot be read")


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0.4, OK, "agrees"),
        (-30, WARNING, "30 s behind"),
        (30, WARNING, "30 s ahead of"),
        (400, PROBLEM, "will be refused"),
    ],
)
def test_clocks(ahead, level, words):
    finding = service_checks.judge_clock(ahead)

    assert finding.level == level
    assert words in finding.text


class Part:
    """A small HTTP server at a free port, with fixed answers by path."""

    def __init__(self, *, seconds_behind=0, **answers):
        self.answers = answers
        self.seconds_behind = seconds_behind

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error):
        await self._runner.cleanup()

    async def _answer(self, request):
        status, content = self.answers.get(request.path.strip("/-").replace("/", "_"), (404, {}))
        date = email.utils.formatdate(time.time() - self.seconds_behind, usegmt=True)
        return web.json_response(content, status=status, headers={"Date": date})


async def test_the_clock_is_compared_with_lokis(tmp_path):
    async with Part(seconds_behind=60) as part:
        settings = load(tmp_path, f'[loki]\nurl = "http://{part.address}"\n')
        findings = await collected(service_checks.check_loki(settings))

    advised(findings, WARNING, "ahead of Loki's", "NTP")


def _status(**more):
    source = {"backlogBytes": 0, "rejected": 0, **more.pop("source", {})}
    return 200, {"healthy": True, "error": "", "loki": "http://l", "sources": [source], **more}


@pytest.mark.parametrize(
    ("answer", "level", "words"),
    [
        (_status(), OK, "ships 1 logs"),
        (_status(healthy=False, error="Loki answers 401"), PROBLEM, "Loki answers 401"),
        (_status(source={"backlogBytes": 100 << 20}), WARNING, "100 MiB wait"),
        (_status(source={"rejected": 3}), WARNING, "refused 3 lines"),
        ((404, {}), PROBLEM, "answered 404"),
    ],
)
async def test_what_the_agent_says_of_itself(tmp_path, answer, level, words):
    async with Part(status=answer, healthz=(200, {})) as part:
        settings = load(tmp_path, f'[agent]\nlisten = "{part.address}"\n[panel]\nlisten = "{part.address}"\n')
        agent, panel = await collected(service_checks.check_parts(settings))

    assert agent.level == level
    assert words in agent.text
    assert bool(agent.advice) == (level != OK)
    assert panel.level == OK


@pytest.mark.parametrize(("status", "words"), [(503, "cannot read from Loki"), (404, "answered 404")])
async def test_a_panel_that_is_not_well(tmp_path, status, words):
    async with Part(status=_status(), healthz=(status, {})) as part:
        settings = load(tmp_path, f'[agent]\nlisten = "{part.address}"\n[panel]\nlisten = "{part.address}"\n')
        _, panel = await collected(service_checks.check_parts(settings))

    assert panel.level == PROBLEM
    assert words in panel.text


async def test_parts_that_do_not_run(tmp_path):
    free = [free_port() for _ in range(2)]
    text = f'[agent]\nlisten = "127.0.0.1:{free[0]}"\n[panel]\nlisten = "127.0.0.1:{free[1]}"\n'
    findings = await collected(service_checks.check_parts(load(tmp_path, text)))

    advised(findings, WARNING, "nothing is shipped", "tracetail-agent")
    advised(findings, WARNING, "no panel answers")


async def test_receivers_of_metrics_that_do_not_take_them(tmp_path):
    async with Part() as part:
        settings = load(
            tmp_path,
            f'[agent]\npushgateway_url = "http://{part.address}"\nremote_write_url = "http://{part.address}/write"\n',
        )
        findings = await collected(service_checks.check_metrics(settings))
    advised(findings, PROBLEM, "/-/ready answered 404", "agent.pushgateway_url")
    advised(findings, PROBLEM, "remote write", "answered 404", "--web.enable-remote-write-receiver")

    nobody = f"http://127.0.0.1:{free_port()}"
    settings = load(tmp_path, f'[agent]\npushgateway_url = "{nobody}"\nremote_write_url = "{nobody}/write"\n')
    findings = await collected(service_checks.check_metrics(settings))
    assert [finding.level for finding in findings] == [PROBLEM, PROBLEM]


@pytest.mark.needs("prometheus", "prometheus-pushgateway")
async def test_real_receivers_of_metrics_are_well(tmp_path):
    with monitoring.prometheus(tmp_path / "p") as prometheus, monitoring.pushgateway(tmp_path / "g") as gateway:
        settings = load(
            tmp_path, f'[agent]\npushgateway_url = "{gateway}"\nremote_write_url = "{prometheus.write_url}"\n'
        )
        findings = await asyncio.wait_for(collected(service_checks.check_metrics(settings)), 60)

    assert [finding.level for finding in findings] == [OK, OK]


async def _hang_up(request):
    request.transport.close()
    return web.Response()


async def _taken(_):
    return web.Response(status=204)


async def _forbidden(_):
    return web.Response(status=403, text="no reading")


async def _without_metadata(request):
    text = re.search(r'"(tracetail doctor was here: \w+)"', request.query["query"])[1]
    values = [[request.query["start"], text]]
    return web.json_response({"data": {"resultType": "streams", "result": [{"stream": {}, "values": values}]}})


@pytest.mark.parametrize(
    ("push", "query", "level", "words"),
    [
        (_hang_up, _forbidden, PROBLEM, "a push was not answered"),
        (_taken, _forbidden, PROBLEM, "reading is refused"),
        (_taken, _hang_up, PROBLEM, "a query was not answered"),
        (_taken, _without_metadata, WARNING, "structured metadata did not come back"),
    ],
)
async def test_a_loki_that_answers_only_in_part(tmp_path, push, query, level, words):
    app = web.Application()
    app.router.add_get("/ready", _ready)
    app.router.add_post("/loki/api/v1/push", push)
    app.router.add_get("/loki/api/v1/query_range", query)
    async with TestServer(app) as server:
        settings = load(tmp_path, f'[loki]\nurl = "http://127.0.0.1:{server.port}"\n')
        findings = await collected(service_checks.check_loki(settings))

    advised(findings, level, words)


async def _ready(_):
    return web.Response(text="ready")


async def test_programs_at_the_addresses_of_agent_and_panel_that_do_not_speak_http(tmp_path):
    def hang_up(_, writer):
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = load(tmp_path, f'[agent]\nlisten = "{address}"\n[panel]\nlisten = "{address}"\n')
        findings = await collected(service_checks.check_parts(settings))

    advised(findings, PROBLEM, "did not answer", "agent.listen")
    advised(findings, PROBLEM, "did not answer", "panel.listen")


def test_records_and_logs_of_another_user(tmp_path, monkeypatch):
    state = tmp_path / "state"
    state.mkdir()
    launch = Launch(state, 1, server=process_ref(os.getpid()))
    settings = load(tmp_path, f'[agent]\nstate_dirs = ["{state}"]\n')
    with monkeypatch.context() as without_rights:
        without_rights.setattr(launch_checks.os, "access", lambda path, _: not str(path).endswith(".log"))
        advised(list(launch_checks.check_launches(settings, {})), PROBLEM, ".log may not be read", "group")
    with monkeypatch.context() as without_rights:

        def refuse(_):
            raise PermissionError

        without_rights.setattr(launch_checks.LaunchDir, "read", refuse)
        advised(list(launch_checks.check_launches(settings, {})), PROBLEM, "record.json may not be read", "group")
    launch.lock.release()
