"""The image of agent, panel and store, built for real: its size, who it runs as, and the demonstration in it.

There is no registry in the tests, so its base is a Debian with Python, made by debootstrap and kept for the next run.
`pytest -m field -n 0 -s tests/deploy/test_image.py` prints the size.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.container_runtimes import DOCKER_PROGRAMS, docker_engine

ROOT = Path(__file__).parents[2]
BASE = "debian-python"
IMAGE = "tracetail"
MAX_BYTES = 150 * 1000 * 1000
SUITE = "bookworm"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

pytestmark = [
    pytest.mark.field,
    pytest.mark.long,
    pytest.mark.timeout(1200),
    pytest.mark.needs("debootstrap"),
    *(pytest.mark.needs(name) for name in DOCKER_PROGRAMS),
]


def base_directory():
    """Return the root file system of a Debian with Python, as small as debootstrap makes it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracetail"
    made = cache / f"debian-{SUITE}-python"
    if not made.is_dir():
        making = cache / f"{made.name}.{os.getpid()}"
        packages = "python3,python3-venv,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, making],
            check=True,
            capture_output=True,
        )
        for name in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/locale", "usr/share/doc"):
            shutil.rmtree(making / name, ignore_errors=True)
        (making / "var/cache/apt/archives/partial").mkdir(parents=True)
        making.rename(made)
    # What this machine trusts, for pip behind a proxy of its own.
    shutil.copy(CERTIFICATES, made / CERTIFICATES.relative_to("/"))
    return made


@pytest.fixture(scope="module")
def docker():
    with docker_engine() as engine:
        engine.load_image(base_directory(), BASE)
        base = engine("image", "inspect", "--format", "{{.Id}}", BASE)
        build = engine.attempt(
            *("build", "--network", "host", "--file", ROOT / "Containerfile", "--tag", IMAGE),
            *("--build-arg", f"PYTHON_IMAGE={base}", "--build-arg", f"PIP_CERT={CERTIFICATES}", ROOT),
            timeout=1000,
            env={"DOCKER_BUILDKIT": "0"},
        )
        assert build.returncode == 0, build.stdout[-3000:] + build.stderr[-3000:]
        yield engine


def test_the_image_is_small_and_its_demonstration_works(docker):
    size = int(docker("image", "inspect", "--format", "{{.Size}}", IMAGE))
    print(f"\nthe image has {size / 1e6:.0f} MB")
    assert size < MAX_BYTES

    who = docker("run", "--rm", "--network", "host", "--entrypoint", "id", IMAGE)
    assert "uid=9464(tracetail)" in who
    owner = docker(
        "run", "--rm", "--network", "host", "--entrypoint", "stat", IMAGE, "-c", "%U %a", "/var/lib/tracetail"
    )
    assert owner == "tracetail 750"

    demo = docker("run", "--rm", "--network", "none", IMAGE, "demo", "--once", timeout=300)
    print(demo)
    assert "ready" in demo
