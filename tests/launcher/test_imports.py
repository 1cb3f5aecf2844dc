"""The commands that a scheduler calls for every launch start quickly: they import no library of the services."""

import pytest

LARGE = {"aiohttp", "asyncio", "cramjam", "jwt", "lark", "orjson", "prometheus_client", "re2", "sqlite3", "watchdog"}
HTTP_AND_TLS = {"email", "http.client", "ssl", "urllib.request"}
SELDOM_NEEDED = {"concurrent.futures", "ctypes", "difflib", "logging", "random", "rich", "zoneinfo"}


def imported(world, *words):
    """Run a command that has to succeed; return the names of the modules that it imported."""
    done = world.run(*words, environ={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.status in {0, 3}, done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    "words", [["--help"], ["ps"], ["history"], ["status", "--model-name", "m"], ["stop", "--model-name", "m"]]
)
def test_a_command_that_finds_no_launch_imports_no_library_of_the_services(world, words):
    modules = imported(world, *words)
    assert "tracetail.cli.main" in modules
    assert modules & (LARGE | HTTP_AND_TLS) == set()


def test_a_start_imports_no_library_of_the_services(world, free_port):
    port = free_port()
    params = world.params([["serve", port, []], ["stay"]], port=port, readyWhen="port")
    modules = imported(world, "start", "--params", params)
    assert "tracetail.launcher.operations.start" in modules
    assert modules & (LARGE | HTTP_AND_TLS | SELDOM_NEEDED) == set()
    assert [name for name in modules if name.startswith("tracetail.launcher.containers")] == []
    assert world.run("stop", "--model-name", "m").status == 0
