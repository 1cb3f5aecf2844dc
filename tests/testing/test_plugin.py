"""The pytest plugin, in a stranger's repository: what a person reads of a failed test, and what is left running."""

import importlib.metadata
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

pytest_plugins = ["pytester"]

FAILING = """
def test_answers(inference_server, inference_client):
    assert inference_server.state == "ready"
    assert inference_client.post("/v1/completions", {"prompt": "hello"}).status == 200
    # A line's time is when it was read: on a busy machine that may be after this test.
    assert any("'hello'" in line.text for line in inference_server.logs(follow=True))

def test_fails(inference_client):
    assert inference_client.post("/v1/completions", {"prompt": "fail"}).status == 200

def test_needs_no_server():
    pass
"""


def test_a_failed_test_shows_the_servers_errors_and_then_its_lines_and_the_server_is_stopped(repository):
    repository.write(FAILING)
    run = repository.run("--junitxml=junit.xml")
    run.assert_outcomes(passed=2, failed=1)
    (launch,) = repository.launches()
    assert launch.state == "stopped"
    run.stdout.fnmatch_lines(
        [
            "*tracetail: the server's lines during the test*",
            f"test/m:* is ready (launch {launch.launch_id}, trace {launch.trace_id})",
            f"all lines: tracetail logs {launch.launch_id}",
            "errors of the server during the test:",
            "*ERROR*Error in request cmpl-none-0: EngineCore encountered an issue.",
            "lines of the server during the test:",
            "*Received request cmpl-none-0: prompt: 'fail'*",
            '*"POST /v1/completions HTTP/1.1" 500',
        ]
    )
    run.stdout.no_fnmatch_line("*prompt: 'hello'*")
    cases = {case.get("name"): case for case in ET.parse(repository.path / "junit.xml").iter("testcase")}
    properties = {one.get("name"): one.get("value") for one in cases["test_fails"].iter("property")}
    assert properties["launchId"] == launch.launch_id
    assert properties["traceId"] == launch.trace_id
    assert list(cases["test_needs_no_server"].iter("property")) == []


def test_lines_that_the_keeper_reads_late_are_in_the_report(repository):
    """On a machine that is overloaded the keeper may get no CPU for seconds, while the test has judged the answer."""
    repository.write(
        """
import os, signal, threading
from pathlib import Path
from tracetail.contract.record import LaunchDir

def test_fails(inference_server, inference_client):
    launch = LaunchDir(Path(os.environ["TRACETAIL_STATE_DIR"], "launches", inference_server.launch_id))
    keeper = launch.read()["keeper"]["pid"]
    os.kill(keeper, signal.SIGSTOP)
    threading.Timer(1.5, os.kill, (keeper, signal.SIGCONT)).start()
    assert inference_client.post("/v1/completions", {"prompt": "fail"}).status == 200
"""
    )
    run = repository.run()
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        [
            "errors of the server during the test:",
            "*ERROR*Error in request cmpl-none-0: EngineCore encountered an issue.",
            "lines of the server during the test:",
            '*"POST /v1/completions HTTP/1.1" 500',
        ]
    )


def test_a_server_that_does_not_start_fails_the_test_with_cause_hint_and_evidence(repository):
    script = "echo torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.; exit 1"
    conftest = f"""
import pytest

@pytest.fixture(scope="session")
def inference_server_params():
    return {{"model_name": "m", "command": ["sh", "-c", {script!r}], "ready_when": "log:never"}}
"""
    repository.write(FAILING, conftest)
    run = repository.run("--junitxml=junit.xml")
    run.assert_outcomes(errors=2, passed=1)
    (launch,) = repository.launches()  # it is not tried again for every test
    run.stdout.fnmatch_lines(
        [
            "test/m:* did not start: the GPU's memory is full (tried to allocate 2.00 GiB)",
            "hint: *",
            "evidence: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
            f"all lines: tracetail logs {launch.launch_id}",
            "last lines of the server:",
            "*ERROR*torch.OutOfMemoryError: CUDA out of memory.*",
        ]
    )
    run.stdout.no_fnmatch_line("*servers.py*")  # no frames of the plugin
    run.stdout.no_fnmatch_line("*another exception occurred*")
    run.stdout.fnmatch_lines(["ERROR test_model.py::test_answers - StartFailed: test/m:*"])
    document = (repository.path / "junit.xml").read_text()
    assert 'name="causeCode" value="gpu_out_of_memory"' in document
    assert "evidence: torch.OutOfMemoryError" in document


def test_a_test_with_the_marker_shows_the_lines_of_its_own_requests(repository):
    repository.write(
        """
import pytest

@pytest.mark.trace
def test_fails(inference_server, inference_client):
    import urllib.request
    urllib.request.urlopen(inference_server.url + "/health?another").close()
    assert inference_client.headers()["traceparent"].split("-")[1] == inference_client.trace_id
    inference_client.post("/v1/completions", {"prompt": "one"})
    inference_client.post("/v1/completions", {"prompt": "two"})
    print("the trace is", inference_client.trace_id)
    assert False
"""
    )
    run = repository.run()
    run.assert_outcomes(failed=1)
    text = run.stdout.str()
    trace = text.partition("the trace is ")[2].split()[0]
    section = text.partition(f"lines of the test's requests (trace {trace}):")[2].partition("====")[0]
    lines = [line for line in section.splitlines() if line.startswith("  ")]
    assert len(lines) == 2, section
    assert "prompt: 'one'" in lines[0]
    assert "prompt: 'two'" in lines[1]
    assert all(f"cmpl-{trace}-" in line for line in lines)


@pytest.mark.field
def test_a_server_that_dies_under_a_test_is_named_with_its_cause(repository):
    repository.write(
        """
def test_kills(inference_client):
    inference_client.post("/v1/completions", {"prompt": "die"})
"""
    )
    run = repository.run()
    run.assert_outcomes(failed=1)
    run.stdout.fnmatch_lines(
        [
            "test/m:* is crashed *",
            "cause: the GPU's memory is full (tried to allocate 2.00 GiB)",
            "errors of the server during the test:",
            "*torch.OutOfMemoryError: CUDA out of memory.*",
        ]
    )


@pytest.mark.field
def test_a_server_that_a_failed_test_used_can_be_left_running(repository):
    repository.write(FAILING, ini="tracetail_scope = function")
    run = repository.run("--tracetail-keep")
    run.assert_outcomes(passed=2, failed=1)
    failed, passed = repository.launches()
    assert (failed.state, passed.state) == ("ready", "stopped")
    run.stdout.fnmatch_lines(
        ["*servers left running*", f"test/m:*at http://127.0.0.1:*: tracetail stop --launch {failed.launch_id}"]
    )
    failed.stop()


@pytest.mark.field
@pytest.mark.parametrize(("choice", "servers"), [("shared", 1), ("each", 2)])
def test_the_workers_of_xdist_share_one_server_or_have_one_each(repository, choice, servers):
    repository.write(
        """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_answers(inference_client, number):
    import pathlib, time
    pathlib.Path(f"began-{number}").touch()
    deadline = time.monotonic() + 60
    while not pathlib.Path(f"began-{(number + 2) % 4}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert inference_client.post("/v1/completions", {"prompt": "hello"}).status == 200
    assert number
"""
    )
    run = repository.run("-n2", f"--tracetail-xdist={choice}")
    run.assert_outcomes(passed=3, failed=1)
    assert [launch.state for launch in repository.launches()] == ["stopped"] * servers
    run.stdout.fnmatch_lines(["*Received request cmpl-none-0: prompt: 'hello'*"])


@pytest.mark.field
def test_whoever_asks_for_the_server_has_its_lines(repository):
    repository.write(
        """
import pytest

@pytest.fixture(scope="session")
def warm(inference_server):
    import urllib.request
    urllib.request.urlopen(inference_server.url + "/warming").close()
    pytest.fail("too slow")

def test_with_a_fixture_that_fails(warm):
    pass

def test_that_asks_while_it_runs(request):
    request.getfixturevalue("inference_client").get("/asked")
    assert False
"""
    )
    run = repository.run("--junitxml=junit.xml")
    run.assert_outcomes(errors=1, failed=1)
    (launch,) = repository.launches()
    run.stdout.fnmatch_lines(["*ERROR at setup*", "lines of the server during the test:", '*"GET /warming *'])
    run.stdout.fnmatch_lines(["*FAILURES*", "lines of the server during the test:", '*"GET /asked *'])
    properties = ET.parse(repository.path / "junit.xml").iter("property")
    assert [one.get("value") for one in properties if one.get("name") == "launchId"] == [launch.launch_id] * 2


@pytest.mark.field
def test_a_server_of_all_workers_that_does_not_stop_is_named(repository):
    repository.write("def test_answers(inference_server):\n    pass\n")
    with (repository.path / "conftest.py").open("a") as conftest:
        conftest.write(
            """
from tracetail.client import Launch, StopError

def fail_to_stop(launch):
    raise StopError("process 7 is left", hint="end it")

Launch.stop = fail_to_stop
"""
        )
    run = repository.run("-n1")
    run.assert_outcomes(passed=1)
    (launch,) = repository.launches()
    run.stdout.fnmatch_lines(
        [
            "*servers left running*",
            f"test/m:*tracetail stop --launch {launch.launch_id}",
            "process 7 is left",
            "hint: end it",
        ]
    )
    launch.stop()


@pytest.mark.field
def test_a_marker_gives_parameters_to_its_test_and_the_ini_file_to_all(repository):
    repository.write(
        """
import pytest

@pytest.mark.inference_server(model_name="second")
def test_second(inference_server):
    assert (inference_server.model_name, inference_server.info.env) == ("second", "dev")

def test_first(inference_server):
    assert (inference_server.model_name, inference_server.info.env) == ("m", "dev")
""",
        ini="tracetail_params =\n  env = dev",
    )
    repository.run().assert_outcomes(passed=2)
    assert {launch.state for launch in repository.launches()} == {"stopped"}


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("tracetail_scope = sesion", "tracetail_scope is 'sesion': expected one of session, package, *"),
        ("tracetail_xdist = no", "tracetail_xdist is 'no': expected one of shared, each"),
        ("tracetail_lines = many", "tracetail_lines is 'many': expected a number of lines from 0, *"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_before_any_test_runs(repository, ini, message):
    repository.write(FAILING, ini=ini)
    run = repository.run()
    run.stderr.fnmatch_lines([f"ERROR: {message}"])
    run.stdout.no_fnmatch_line("*INTERNALERROR*")
    assert repository.launches() == []


def test_parameters_of_the_ini_file_that_cannot_be_read_fail_the_test_without_frames_of_the_plugin(repository):
    repository.write(FAILING, ini='tracetail_params = {"env": "dev"')
    run = repository.run()
    run.assert_outcomes(errors=2, passed=1)
    run.stdout.fnmatch_lines(["tracetail_params is not valid JSON: *"])
    run.stdout.no_fnmatch_line("*parameters.py*")


def test_a_marker_whose_parameters_have_no_names_is_refused(repository):
    repository.write(
        """
import pytest

@pytest.mark.inference_server("small")
def test_of_the_small_one(inference_server):
    pass
"""
    )
    run = repository.run()
    run.stdout.fnmatch_lines(
        ["*@pytest.mark.inference_server('small'): parameters have names, as in model_name='small'"]
    )
    run.stdout.no_fnmatch_line("*plugin.py*")
    assert repository.launches() == []


def test_a_server_that_ends_without_a_word_is_said_to_have_printed_nothing(repository):
    repository.write(
        """
import pytest

@pytest.mark.inference_server(model_name="silent", command=["false"])
def test_of_the_silent_one(inference_server):
    pass
"""
    )
    run = repository.run()
    run.assert_outcomes(errors=1)
    run.stdout.fnmatch_lines(["test/silent:* did not start: exited with status 1*", "the server has printed nothing"])


@pytest.mark.field
def test_parameters_of_too_narrow_a_scope_are_explained(repository):
    repository.write(FAILING, "import pytest\n\n@pytest.fixture\ndef inference_server_params():\n    return {}\n")
    run = repository.run()
    run.assert_outcomes(errors=2, passed=1)
    run.stdout.fnmatch_lines(["*write @pytest.fixture(scope='session') above it, or set tracetail_scope = function*"])


@pytest.mark.field
def test_reports_of_pytest_html_and_allure_have_the_lines_and_the_links(repository, monkeypatch):
    monkeypatch.setenv("TRACETAIL_PANEL_URL", "http://logs.example.com")
    repository.write(FAILING)
    plugins = ("-p", "pytest_metadata.plugin", "-p", "pytest_html.plugin", "-p", "allure_pytest.plugin")
    run = repository.run(*plugins, "--html=report.html", "--self-contained-html", "--alluredir=allure")
    run.assert_outcomes(passed=2, failed=1)
    (launch,) = repository.launches()
    page = f"http://logs.example.com/panel?launchId={launch.launch_id}"
    document = (repository.path / "report.html").read_text()
    assert "EngineCore encountered an issue" in document
    assert page in document
    results = [path.read_text() for path in (repository.path / "allure").glob("*-result.json")]
    failed = next(text for text in results if '"failed"' in text)
    assert page in failed
    attached = [path.read_text() for path in (repository.path / "allure").glob("*-attachment.txt")]
    assert any("EngineCore encountered an issue" in text for text in attached)


def test_pytest_loads_the_plugin_by_itself_and_at_no_cost():
    (entry,) = importlib.metadata.entry_points(group="pytest11", name="tracetail")
    assert entry.value == "tracetail.testing.plugin"
    script = (
        "import sys, time, pytest; known = set(sys.modules); began = time.process_time();"
        "import tracetail.testing.plugin; print(time.process_time() - began, *(set(sys.modules) - known))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, *loaded = done.stdout.split()
    assert set(loaded) == {"tracetail", "tracetail.testing", "tracetail.testing.plugin"}
    assert float(seconds) < 0.1


def test_workers_that_need_no_server_cost_nothing_and_heed_no_setting(repository, monkeypatch):
    monkeypatch.setenv("TRACETAIL_PANEL_URL", "none")
    conftest = """
def pytest_unconfigure(config):
    import sys
    print("loaded", *sorted(name for name in sys.modules if name.startswith("tracetail.")))
"""
    repository.write("def test_needs_no_server():\n    pass\n", conftest)
    run = repository.run("-n1")
    run.assert_outcomes(passed=1)
    run.stderr.no_fnmatch_line("*PanelError*")
    run.stdout.fnmatch_lines(["loaded tracetail.testing tracetail.testing.plugin tracetail.testing.shared_directory"])


@pytest.mark.field
def test_an_address_of_the_panel_that_is_none_fails_the_test_with_a_hint(repository, monkeypatch):
    monkeypatch.setenv("TRACETAIL_PANEL_URL", "none")
    repository.write(FAILING)
    run = repository.run()
    run.assert_outcomes(errors=2, passed=1)
    run.stdout.fnmatch_lines(["'none' is not the address of a panel", "hint: for instance https://*"])
    run.stdout.no_fnmatch_line("*servers.py*")
