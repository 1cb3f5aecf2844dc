"""What pytest loads: options, fixtures and hooks. Whatever costs time is imported when a test uses a server.

pytest imports this module at every start (entry point `pytest11`), also where no test uses it.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tracetail.client import Launch
    from tracetail.testing.inference_client import InferenceClient

SERVER = "inference_server"
"""The name of the fixture, and of the marker with parameters."""
TRACE = "trace"
"""The name of the marker."""
SHARED_DIRECTORY: "pytest.StashKey[Path]" = pytest.StashKey()
"""Where the workers of pytest-xdist agree on their servers, in the process that distributes the tests."""
BEGUN: "pytest.StashKey[float]" = pytest.StashKey()
"""When a test began, in seconds since the epoch."""
_KEPT: "pytest.StashKey[list[str]]" = pytest.StashKey()
_KEPT_OUTPUT = "tracetail_kept"
_Scope = Literal["session", "package", "module", "class", "function"]
_SCOPES = ("session", "package", "module", "class", "function")
_XDIST = ("shared", "each")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("tracetail", "inference servers under test")
    group.addoption(
        "--tracetail-keep",
        action="store_true",
        help="leave a server running that a failed test used, and print where it is",
    )
    group.addoption(
        "--tracetail-scope", choices=_SCOPES, help="how long a server of the fixture inference_server runs (session)"
    )
    group.addoption(
        "--tracetail-xdist",
        choices=_XDIST,
        help="with pytest-xdist: one server of scope session for all workers, or one for each (shared)",
    )
    parser.addini("tracetail_params", "parameters of the server: a JSON object, or lines `name = value`", default="")
    parser.addini("tracetail_scope", "as --tracetail-scope", default="session")
    parser.addini("tracetail_xdist", "as --tracetail-xdist", default="shared")
    parser.addini("tracetail_lines", "how many of the server's lines a report shows", default="200")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    config.addinivalue_line(
        "markers", "inference_server(**params): parameters of the fixture inference_server for this test"
    )
    config.addinivalue_line(
        "markers",
        "trace: the test has a trace of its own, whose ids inference_client sends; its report has these lines alone",
    )
    _check_configuration(config)


def _check_configuration(config: pytest.Config) -> None:
    """Raise UsageError for a setting that cannot be used; later it would end pytest with a traceback of its own."""
    for name, known in (("tracetail_scope", _SCOPES), ("tracetail_xdist", _XDIST)):
        if (value := config.getini(name)) not in known:
            raise pytest.UsageError(f"{name} is {value!r}: expected one of {', '.join(known)}")
    lines = str(config.getini("tracetail_lines"))
    if not (lines.isascii() and lines.isdigit()):
        raise pytest.UsageError(f"tracetail_lines is {lines!r}: expected a number of lines from 0, for instance 200")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Pass the parameters of a marker to the fixture."""
    marker = metafunc.definition.get_closest_marker(SERVER)
    if marker is not None and marker.args:
        given = ", ".join(map(repr, marker.args))
        pytest.fail(
            f"{metafunc.definition.nodeid}: @pytest.mark.{SERVER}({given}): "
            f"parameters have names, as in model_name={given}",
            pytrace=False,
        )
    if marker is not None and SERVER in metafunc.fixturenames:
        name = str(marker.kwargs.get("model_name") or marker.kwargs.get("modelName") or "server")
        metafunc.parametrize(SERVER, [marker.kwargs], ids=[name], indirect=True, scope=_scope_of(metafunc.config))


def _scope_of(config: pytest.Config) -> _Scope:
    found: _Scope = config.getoption("--tracetail-scope") or config.getini("tracetail_scope")
    return found


def _scope(fixture_name: str, config: pytest.Config) -> _Scope:
    del fixture_name
    return _scope_of(config)


@pytest.fixture(scope="session")
def inference_server_params() -> dict[str, Any]:
    """Return the parameters of the server, those of `tracetail start`: override this in your conftest.py."""
    return {}


@pytest.fixture(scope=_scope)
def inference_server(request: pytest.FixtureRequest) -> Iterator["Launch"]:
    """Start a server, yield its launch (`url`, `trace_id`, `panel_url`, `logs()` …), and stop it.

    One that does not start fails the test with cause, hint, evidence, its last lines and the panel's address.
    """
    from tracetail.testing.servers import serve  # noqa: PLC0415

    yield from serve(request)


@pytest.fixture
def inference_client(request: pytest.FixtureRequest, inference_server: "Launch") -> "InferenceClient":
    """Return an HTTP client of the server; in a test with the marker `trace` its requests carry the test's ids."""
    from tracetail.testing.inference_client import InferenceClient  # noqa: PLC0415
    from tracetail.testing.trace_ids import trace_of  # noqa: PLC0415

    return InferenceClient(inference_server.url, trace_of(request.node))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note when a test begins; whether it uses a server may be known only later."""
    item.stash[BEGUN] = time.time()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add the server's lines to the report of a failed test, and its ids to that of every test that used it."""
    if not _uses_server(item):
        yield
        return
    from tracetail.testing import report  # noqa: PLC0415

    report.add_properties(item, call)
    outcome: Any = yield
    report.add_lines(item, call, outcome.get_result())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give the workers of pytest-xdist a directory in which they agree on their servers."""
    from tracetail.testing.shared_directory import prepare  # noqa: PLC0415

    prepare(node)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over which servers a worker of pytest-xdist left running."""
    kept(node.config).extend(getattr(node, "workeroutput", {}).get(_KEPT_OUTPUT, ()))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop the servers that the workers of pytest-xdist shared."""
    directory = session.config.stash.get(SHARED_DIRECTORY, None)
    if directory is not None and any(directory.iterdir()):
        from tracetail.testing.shared_servers import stop_all  # noqa: PLC0415

        stop_all(session.config)
    elif directory is not None:
        directory.rmdir()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_KEPT_OUTPUT] = kept(session.config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print which servers were left running."""
    if kept(config):
        terminalreporter.section("servers left running")
        for line in kept(config):
            terminalreporter.write_line(line)


def kept(config: pytest.Config) -> list[str]:
    """Return what is printed of the servers that were left running; append to it."""
    return config.stash.setdefault(_KEPT, [])


def _uses_server(item: pytest.Item) -> bool:
    """Return whether a test uses a server, also by `request.getfixturevalue`."""
    request = getattr(item, "_request", None) or item
    return SERVER in getattr(request, "fixturenames", ())
