"""deploy/systemd/: verified by systemd-analyze, as no systemd runs here."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
_STARTERS = ("agent", "server@")


class _Unit(configparser.ConfigParser):
    """Reads a unit; of a key that stands twice the last value counts here, which is enough for these tests."""

    def __init__(self, path):
        super().__init__(strict=False, interpolation=None, delimiters=("=",))
        self.optionxform = str
        self.read(path, encoding="utf-8")


@pytest.fixture
def installed(tmp_path):
    """Return the units with this environment's tracetail in them: systemd-analyze looks whether commands exist."""
    command = Path(sys.executable).with_name("tracetail")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace("/opt/tracetail/bin/tracetail", str(command))
        (tmp_path / unit.name.replace("@.", "@qwen.")).write_text(text, encoding="utf-8")
    drop_in = tmp_path / "tracetail-panel.service.d"
    drop_in.mkdir()
    (drop_in / "tracetail.conf").write_bytes((SYSTEMD / "worker.service.d" / "tracetail.conf").read_bytes())
    return sorted(tmp_path.glob("*.service"))


@pytest.mark.needs("systemd-analyze")
def test_units_verify(installed):
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, installed)], capture_output=True, text=True, check=False
    )

    ours = [line for line in run.stderr.splitlines() if "tracetail" in line]
    assert not ours
    assert run.returncode == 0, run.stderr


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(("name", "limit"), [("store", 1.5), ("panel", 1.5), ("agent", 3.0), ("server@qwen", 5.0)])
def test_what_runs_all_the_time_is_hardened(installed, name, limit):
    """The exposure, from 0 (none) to 10, as systemd-analyze reckons it."""
    unit = next(path for path in installed if path.name == f"tracetail-{name}.service")
    run = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )

    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", run.stdout)
    assert found, run.stdout + run.stderr
    assert float(found[1]) <= limit, run.stdout


def test_stopping_a_unit_that_may_hold_keepers_does_not_end_them():
    for name in ("tracetail-agent.service", "tracetail-server@.service", "worker.service.d/tracetail.conf"):
        service = _Unit(SYSTEMD / name)["Service"]
        assert service["KillMode"] == "process", name
        assert service["OOMPolicy"] == "continue", name


def test_the_agents_unit_leaves_open_what_a_keeper_and_the_metrics_need():
    service = _Unit(SYSTEMD / "tracetail-agent.service")["Service"]

    for closed in ("PrivateUsers", "PrivateDevices", "PrivateTmp", "ProtectProc", "ProcSubset", "PrivatePIDs"):
        assert closed not in service
    assert service["ReadWritePaths"] == "/var/lib/tracetail"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_units_that_may_have_different_users_do_not_share_a_state_directory():
    """systemd gives a StateDirectory to the user of the unit that starts: two users would take it from each other."""
    of_launches = {_Unit(SYSTEMD / f"tracetail-{name}.service")["Service"]["StateDirectory"] for name in _STARTERS}
    store = _Unit(SYSTEMD / "tracetail-store.service")["Service"]

    assert of_launches == {"tracetail"}
    assert store["StateDirectory"] == "tracetail-store"
    assert store["Environment"] == f"TRACETAIL_STORE_PATH=%S/{store['StateDirectory']}/store.db"


def test_units_run_commands_that_exist_as_nobody_privileged():
    from tracetail.cli.main import _COMMANDS

    for path in UNITS:
        service = _Unit(path)["Service"]
        for key in ("ExecStart", "ExecStop"):
            if key in service:
                program, command = service[key].split()[:2]
                assert program == "/opt/tracetail/bin/tracetail"
                assert command in _COMMANDS
        assert service.get("User") == "tracetail" or service.get("DynamicUser") == "yes"
        assert service["NoNewPrivileges"] == "yes"
