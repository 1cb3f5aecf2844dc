"""`tracetail bundle`: what is in the file for a bug report, and what is not."""

import json
import tarfile

import pytest
from click.testing import CliRunner
from support.launch_records import write_launch

from tracetail.cli.main import main

LAUNCH = "20261127T100000-0000a1"
SECRET = "sk-proj-" + "Ab3" * 16


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACETAIL_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("TRACETAIL_LOKI_URL", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    launch = write_launch(
        tmp_path / "state", LAUNCH, traceId="trace-7", modelName="qwen", exit={"cause": f"api_key={SECRET} is wrong"}
    )
    segment = launch.path / "m.log"
    prefix = "[traceId=trace-7 instanceId=run-1]"
    segment.write_text(
        f"2026-11-27T10:00:00.000001000+00:00 {prefix} ERROR 11-27 10:00:00 [a.py:1] OPENAI_API_KEY={SECRET}\n"
        f"2026-11-27T10:00:01.000001000+00:00 {prefix} 模型\n"
    )
    record = {**launch.read(), "segments": [str(segment)], "logFile": str(segment)}
    launch.record_path.write_text(json.dumps(record))
    (launch.path / "keeper.log").write_text(f"the keeper said token={SECRET}\n")
    (launch.path / "plan.json").write_text(json.dumps({"environ": {"HF_TOKEN": "hf_secret"}}))
    return tmp_path


def bundle(*arguments):
    return CliRunner().invoke(main, ["bundle", *arguments])


def test_a_bundle_has_record_log_findings_and_versions_without_secrets(here):
    done = bundle("qwen")

    assert done.exit_code == 0, done.output
    path = here / f"tracetail-{LAUNCH}.tar.gz"
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        content = {name.split("/", 1)[1]: archive.extractfile(name).read().decode() for name in archive.getnames()}
    assert set(content) == {"versions.json", "doctor.json"} | {
        f"{LAUNCH}/{name}" for name in ("record.json", "log.txt", "keeper.log")
    }
    assert json.loads(content[f"{LAUNCH}/record.json"])["effectiveState"] == "failed"
    assert content[f"{LAUNCH}/log.txt"].splitlines()[1] == "2026-11-27T10:00:01.000+00:00 模型"
    assert {"configuration", "loki"} <= {one["subject"] for one in json.loads(content["doctor.json"])}
    assert "tracetail" in json.loads(content["versions.json"])
    for name, text in content.items():
        assert SECRET not in text, name
        assert "hf_secret" not in text, name


@pytest.mark.usefixtures("here")
def test_only_the_newest_lines_where_they_are_counted(here):
    assert bundle(LAUNCH, "-n", "1", "-o", "b.tgz").exit_code == 0
    with tarfile.open(here / "b.tgz") as archive:
        lines = archive.extractfile(f"tracetail-{LAUNCH}/{LAUNCH}/log.txt").read().decode().splitlines()
    assert lines == ["2026-11-27T10:00:01.000+00:00 模型"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nobody"], "there is no launch of nobody"), (["qwen", "-o", "no/such/x.tgz"], "choose another with --output")],
)
def test_what_cannot_be_packed_is_said(arguments, said):
    done = bundle(*arguments)

    assert done.exit_code == 1
    assert said in done.output


@pytest.mark.parametrize("kind", ["link", "dangling link"])
def test_it_is_not_written_through_a_link_that_was_there_before(here, kind):
    target = here / "of-somebody"
    if kind == "link":
        target.write_text("keep this")
    (here / f"tracetail-{LAUNCH}.tar.gz").symlink_to(target)
    done = bundle(LAUNCH)
    assert done.exit_code == 1
    assert "choose another with --output" in done.output
    assert [path.read_text() for path in here.glob("of-somebody")] == (["keep this"] if kind == "link" else [])


def test_it_is_for_its_owner_only_also_in_place_of_one_that_was_for_all(here):
    path = here / f"tracetail-{LAUNCH}.tar.gz"
    path.write_bytes(bytes(1_000_000))
    path.chmod(0o644)
    assert bundle(LAUNCH).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        assert archive.getnames()


def test_of_a_keepers_log_of_a_tebibyte_it_has_the_end(here):
    log = here / "state" / "launches" / LAUNCH / "keeper.log"
    with log.open("r+b") as file:
        file.truncate(1 << 40)
    assert bundle(LAUNCH).exit_code == 0
