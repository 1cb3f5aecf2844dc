"""Checks that a wheel holds the whole of tracetail and nothing else at the top level.

python .ci/check_wheel.py WHEEL compiled|plain
"""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.name for path in (ROOT / "tracetail").iterdir() if path.is_symlink())
LOOPS = (
    "tracetail/agent/parsing/_scan.",
    "tracetail/contract/_needles.",
    "tracetail/loki/_entries.",
    "tracetail/store/disk/_running_sums.",
    "tracetail/store/disk/_text_filter.",
    "tracetail/store/http/_streams_json.",
    "tracetail/store/ingest/_pushed_entries.",
)
DATA = "data/share/tracetail/"


def check(wheel: Path, form: str) -> None:
    """Exit with a message if the wheel is not as it should be."""
    names = zipfile.ZipFile(wheel).namelist()
    version = wheel.name.split("-")[1]
    own, information, data = "tracetail", f"tracetail-{version}.dist-info", f"tracetail-{version}.data"
    tops = {name.partition("/")[0] for name in names}
    expect(tops == {own, information, data}, f"at the top level: {sorted(tops)}")
    shared = [name for name in names if name.startswith(data + "/")]
    expect(all(name.startswith(f"{data}/{DATA}") for name in shared), f"among the data files: {shared}")

    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wanted = [name for name in listed.stdout.split("\0") if name and not name.endswith(".d.ts")]
    missing = {f"{own}/{name}" for name in wanted} - set(names)
    expect(not missing, f"not in the wheel: {sorted(missing)}")

    compiled = [name for name in names if name.startswith(LOOPS) and name.endswith(".so")]
    expect(len(compiled) == (len(LOOPS) if form == "compiled" else 0), f"compiled loops: {compiled}")
    expect(wheel.name.endswith("-py3-none-any.whl") == (form == "plain"), f"the tag of {wheel.name}")
    strays = [name for name in names if name.endswith((".c", ".pyc"))]
    expect(not strays, f"made by a build or a run: {strays}")
    print(f"{wheel.name}: {len(names)} files, at the top level {', '.join(sorted(tops))}")


def expect(holds: bool, found: str) -> None:
    """Exit with what was found if it does not hold."""
    if not holds:
        sys.exit(f"{sys.argv[1]}: {found}")


check(Path(sys.argv[1]), sys.argv[2])
