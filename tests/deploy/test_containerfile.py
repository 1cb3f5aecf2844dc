"""The Containerfile: what it copies is there, and what the wheel is made of. test_image.py builds it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
COPIED = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split() if line.startswith("!")}
"""`COPY . .` copies what .dockerignore lets through."""


def test_what_is_copied_is_there():
    assert re.search(r"^COPY \. \.$", CONTAINERFILE, re.MULTILINE)
    assert all((ROOT / name).exists() for name in COPIED)


def test_everything_that_the_wheel_is_made_of_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        *wheel["packages"],
        project["project"]["readme"],
        *project["project"]["license-files"],
        "pyproject.toml",
    }
    included = [*wheel.get("force-include", {}), *wheel.get("shared-data", {})]
    needed |= {Path(path).parts[0] for path in included}

    assert needed <= COPIED


def test_the_image_runs_as_nobody_privileged():
    assert re.search(r"^USER tracetail$", CONTAINERFILE, re.MULTILINE)
    assert CONTAINERFILE.index("USER tracetail") < CONTAINERFILE.index("ENTRYPOINT")
