"""What every test may use: the `needs` marker, and a state directory of its own."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from support.real_loki import RealLoki

# As in the Makefile, for who calls pytest.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

EXPLORE_VARIABLE = "TRACETAIL_TEST_EXPLORE"
"""Set to let hypothesis look for new cases at random; otherwise every run looks at the same ones."""
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("explore" if os.environ.get(EXPLORE_VARIABLE) else "same")

REQUIRE_PROGRAMS_VARIABLE = "TRACETAIL_TEST_REQUIRE_PROGRAMS"
"""Set where every program is installed: a missing one then fails its tests instead of skipping them."""

VLLM_VARIABLE = "TRACETAIL_TEST_VLLM"

LOKI_VARIABLE = "LOKI_BIN"
"""The path of a Loki's binary, for the tests that run a real one."""


def pytest_collection_modifyitems(config, items):
    chosen = config.getoption("markexpr")
    items.sort(key=lambda item: item.get_closest_marker("long") is None)  # at the end the other workers would wait
    for item in items:
        if item.get_closest_marker("soak") and "soak" not in chosen:
            item.add_marker(pytest.mark.skip(reason="a long repetition: make soak"))
        if item.get_closest_marker("field") and "field" not in chosen:
            item.add_marker(pytest.mark.skip(reason="stages a whole installation: make test-field"))
        if item.get_closest_marker("loki") and LOKI_VARIABLE not in os.environ:
            item.add_marker(pytest.mark.skip(reason=f"needs a real Loki ({LOKI_VARIABLE}): make test-loki"))
        if item.get_closest_marker("vllm") and VLLM_VARIABLE not in os.environ:
            item.add_marker(pytest.mark.skip(reason="runs a real vLLM: make test-vllm"))


def pytest_runtest_setup(item):
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if shutil.which(program) is None:
                if os.environ.get(REQUIRE_PROGRAMS_VARIABLE):
                    pytest.fail(f"{program} is not installed, and {REQUIRE_PROGRAMS_VARIABLE} is set", pytrace=False)
                pytest.skip(f"needs {program}: apt-get install {_PACKAGES.get(program, program)}")


_PACKAGES = {
    "promtool": "prometheus",
    "java": "default-jre-headless",
    "javac": "default-jdk-headless",
    "mvn": "maven",
    "systemd-analyze": "systemd",
    "dockerd": "docker.io",
    "docker": "docker.io",
    "busybox": "busybox-static",
}


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a state directory of the test's own, in the environment too."""
    path = tmp_path / "state"
    path.mkdir()
    monkeypatch.setenv("TRACETAIL_STATE_DIR", str(path))
    return path


@pytest.fixture
async def start_loki(tmp_path: Path):
    """Return a function that starts a real Loki with these limits; for tests marked `loki`."""
    started: list[RealLoki] = []

    async def start(config: str = "loki-single.yaml", **limits) -> RealLoki:
        loki = RealLoki(tmp_path / f"loki{len(started)}", config, **limits)
        started.append(loki)
        return await loki.start()

    yield start
    for loki in started:
        await loki.kill()
