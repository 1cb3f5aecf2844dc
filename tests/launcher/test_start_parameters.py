"""Parameters of a start: what is accepted, what is refused, and how a refusal is reported."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("params", "status", "message"),
    [
        ("{", 2, "not valid JSON"),
        ("[]", 2, "must be a JSON object, not a list"),
        ('{"modelNam": "m"}', 2, "did you mean modelName?"),
        ('{"modelName": "m", "modelPath": "/x", "port": 70000}', 2, "port is 70000: expected a port from 1 to 65535"),
        ('{"modelName": "m", "modelPath": "/does/not/exist"}', 15, "modelPath /does/not/exist does not exist"),
        ('{"modelName": "m", "modelPath": "/", "traceId": "a\\"b"}', 2, "contains '\"'"),
        ('{"modelName": "m", "modelPath": "/", "traceId": "a\\nb"}', 2, "contains '\\n'"),
        ('{"modelName": "m"}', 2, "modelPath is missing"),
        ("{}", 2, "modelName is missing"),
        ('{"modelName": "m", "engine": "custom"}', 2, "needs `command`"),
        ('{"modelName": "m", "command": ["/no/such/program"]}', 15, "command: /no/such/program is not an executable"),
        ('{"modelName": "m", "modelPath": "/", "engine": "tgi"}', 2, "engine"),
        ('{"modelName": "m", "modelPath": "/", "env": "staging"}', 2, "expected one of dev, test, prod"),
        ('{"modelName": "m", "command": ["true"], "callbackUrl": "ftp://x"}', 2, "callbackUrl"),
        ('{"modelName": "m", "command": ["true"], "readyWhen": "log:("}', 2, "not a regular expression"),
        ('{"modelName": "m", "model_name": "n"}', 2, "given twice"),
        ('{"modelName": "m", "port": 8000, "port": 8001}', 2, "'port' is given twice"),
        ('{"modelName": "m", "environ": {"HF_HOME": "/a", "HF_HOME": "/b"}}', 2, "'HF_HOME' is given twice"),
        ('{"modelName": "m", "command": ["true"], "environ": {"A B": "c"}}', 2, "not the name of a variable"),
        ('{"modelName": "m", "service": "nope"}', 2, "service 'nope' is not in the configuration"),
        ("[" * 100_000, 2, "nested too deeply"),
        (
            '{"modelName": "m", "command": ["true"], "environ": {"A": "b\\u0000"}}',
            2,
            "environ.A holds a NUL character",
        ),
        ('{"modelName": "m", "command": ["true"], "args": ["\\ud800"]}', 2, "args holds half of a character"),
        ('{"modelName": "m\\ud800", "command": ["true"], "traceId": "t-1"}', 2, "modelName must be printable"),
    ],
)
def test_a_wrong_parameter_is_reported_in_one_line_that_says_what_to_change(world, params, status, message):
    refused = world.run("start", "--params", params)
    assert refused.status == status
    printed = [line for line in (refused.stdout + refused.stderr).splitlines() if message in line]
    assert printed, (refused.stdout, refused.stderr)
    assert refused.result["exitStatus"] == status
    assert all("server" not in launch.read() for launch in world.launches())


@pytest.mark.parametrize("command", ["start", "stop", "restart", "status", "apply", "warmup", "smoke", "notify"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "abc"], "'abc' is not a valid integer"),
        (["--prot", "1"], "o such option"),
        (["--params"], "'--params' requires an argument"),
        (["m"], "unexpected extra argument (m)"),
    ],
)
def test_a_wrong_flag_ends_with_a_result_too(world, command, words, message):
    refused = world.run(command, *words)
    assert refused.status == 2
    assert message in refused.stderr
    assert message in refused.result["cause"]
    assert (refused.result["action"], refused.result["exitStatus"]) == (command, 2)


def test_a_start_with_a_wrong_flag_is_found_by_its_trace(world):
    refused = world.run("start", "--model-name", "m", "--port", "abc", "--trace-id", "t-9")
    launch = world.launch(refused.result)
    assert (launch.read()["traceId"], launch.read()["modelName"]) == ("t-9", "m")
    assert "'abc' is not a valid integer" in world.events(launch)[-1].fields["cause"]
    refused = world.run("apply", "--params", '{"modelName": "m", "traceId": "t-8"}', "--nonsense")
    assert world.launch(refused.result).read()["traceId"] == "t-8"


@pytest.mark.parametrize("command", ["start", "stop", "status"])
def test_a_state_directory_that_cannot_be_read_is_reported(world, command):
    world.environ["TRACETAIL_STATE_DIR"] = "/" + "x" * 300
    words = ["--params", world.params([["stay"]])] if command == "start" else ["--model-name", "m"]
    printed = world.run(command, *words)
    assert printed.status == 15
    assert "File name too long" in printed.result["cause"]
    assert "Traceback" not in printed.stderr


@pytest.mark.parametrize(
    "params",
    [
        {"modelName": "m", "modelPath": "/does/not/exist"},
        {"modelName": "m", "modelPath": "/x", "port": 70000},
        {"modelName": "m", "modelPat": "/x"},
    ],
)
def test_a_refused_start_is_found_by_its_trace(world, params):
    given = {**params, "traceId": "t-9"}
    refused = world.run("start", "--params", "-", stdin=json.dumps(given))
    launch = world.launch(refused.result)
    line = world.lines(launch)[-1]
    assert (line.trace_id, line.mark) == ("t-9", "event")
    event = world.events(launch)[-1]
    assert event.name == "refused"
    assert event.fields["exitStatus"] == str(refused.status)
    assert (event.fields["engine"], event.fields["model"]) == ("vllm", "m")
    assert launch.read()["state"] == "failed"


def test_flags_and_files_do_as_well_as_json(world, tmp_path):
    path = tmp_path / "params.json"
    path.write_text(world.params([["text", "ready now\n"], ["stay"]]))
    started = world.run("start", "--params", f"@{path}", "--trace-id", "t-7", "--env", "dev")
    assert (started.status, started.result["traceId"], started.result["env"]) == (0, "t-7", "dev")
    assert world.run("stop", "--model-name", "m", "--env", "dev").status == 0


def test_parameters_that_are_not_text_are_an_error(world):
    command = world.command("start", "--params", "-")
    done = subprocess.run(command, input=b"{\xff}", env=world.environ, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"can't decode byte 0xff" in done.stderr
    assert done.stdout.startswith(b"TRACETAIL_RESULT ")


def test_relative_paths_are_those_of_the_caller(world, tmp_path, wait_until, receiver):
    (tmp_path / "sub").mkdir()
    (tmp_path / "token").write_text("s3cret")
    (tmp_path / "params").write_text(
        world.params(
            [["text", "ready now\n"], ["touch", "here"], ["stay"]],
            workDir="sub",
            logDir="~/mine",
            callbackUrl=receiver.url,
            callbackTokenFile="token",
        )
    )
    command = world.command("start", "--params", "@params")
    environ = world.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout.splitlines()[-1].removeprefix("TRACETAIL_RESULT "))
    assert result["logFile"].startswith(str(tmp_path / "mine"))
    wait_until((tmp_path / "sub" / "here").exists)
    wait_until(lambda: receiver.events() == ["ready"])
    assert receiver.headers[0]["Authorization"] == "Bearer s3cret"
    assert world.run("stop", "--model-name", "m").status == 0


def test_a_service_of_the_configuration_gives_defaults(world, tmp_path):
    params = json.loads(world.params([["text", "ready now\n"], ["stay"]]))
    path = tmp_path / "tracetail.toml"
    path.write_text(f"[launcher.services.mine]\nmodel_name = 'm'\ncommand = {json.dumps(params['command'])}\n")
    given = {"service": "mine", "readyWhen": "log:ready now"}
    started = world.run("--config", path, "start", "--params", json.dumps(given))
    assert started.status == 0, started.stdout
    named = '{"service": "mine"}'
    assert world.run("--config", path, "status", "--params", named).status == 0
    assert world.run("--config", path, "restart", "--params", named).status == 0
    assert world.run("--config", path, "stop", "--params", named).status == 0
    assert world.run("status", "--model-name", "m").status == 3
    path.write_text("[launcher]\nservice = 1\n")
    bad = world.run("--config", path, "stop", "--params", named)
    assert (bad.status, "unknown key launcher.service" in bad.result["cause"]) == (2, True)


def test_a_state_directory_that_cannot_be_written_is_reported(world):
    world.environ["TRACETAIL_STATE_DIR"] = "/proc/nowhere"
    refused = world.start([["stay"]])
    assert refused.status == 15
    assert "TRACETAIL_STATE_DIR" in refused.result["hint"]


def test_secrets_are_masked_wherever_parameters_are_shown(world, tmp_path):
    command = [sys.executable, "-c", "import time; print('ready now', flush=True); time.sleep(600)"]
    command += ["--api-key", "hunter2hunter2", "--hf-token=hf_abcdefghijklmnopqrstuv"]
    started = world.run(
        "start", "--params", json.dumps({"modelName": "m", "command": command, "readyWhen": "log:ready now"})
    )
    assert started.status == 0
    launch = world.launch(started.result)
    shown = started.stdout + launch.record_path.read_text() + Path(launch.read()["logFile"]).read_text()
    assert "hunter2" not in shown
    assert "hf_abc" not in shown
    assert (launch.path / "plan.json").stat().st_mode & 0o777 == 0o600
    assert world.run("stop", "--model-name", "m").status == 0


def test_the_hosts_of_callbacks_may_be_limited(world):
    world.environ["TRACETAIL_LAUNCHER_ALLOWED_HOSTS"] = "platform.example"
    refused = world.start([["print", "ready now"]], callbackUrl="http://169.254.169.254/latest")
    assert refused.status == 2
    assert "'169.254.169.254' is not one of launcher.allowed_hosts: platform.example" in refused.result["cause"]


@pytest.mark.parametrize("umask", ["077", "000"])  # 077: Airflow's daemon_umask
def test_the_group_can_follow_whatever_the_umask(world, umask):
    world.state.mkdir(mode=0o2750)
    world.state.chmod(0o2750)
    command = world.command("start", "--params", world.params([["exit", 0]]))
    done = subprocess.run(
        ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *command], env=world.environ, capture_output=True, check=False
    )
    assert b"TRACETAIL_RESULT" in done.stdout
    for path in world.state.rglob("*"):
        mode = path.stat().st_mode & 0o7777
        if path.is_dir():
            assert mode == 0o2750, path
        else:
            assert not mode & 0o007, path
    launch = world.launches()[0]
    for path in (launch.record_path, Path(launch.read()["logFile"])):
        assert path.stat().st_mode & 0o777 == 0o640, path


@pytest.mark.parametrize(
    ("given", "english", "chinese"),
    [
        (b" ", "the parameters are empty: expected a JSON object", "参数是空的：应为 JSON 对象"),
        ("{“modelName”: “m”}".encode(), "line 1 column 2, found '“'", "第 1 行第 2 列是 '“'：此处应为双引号"),
        ('{"modelName"："m"}'.encode(), "Expecting ':' delimiter: line 1 column 13, found '：'", "第 13 列是 '：'"),
        (b'{"modelName": "m"', "found the end", "第 1 行第 18 列是 末尾：此处应为 ','"),
        (b'{"modelName": "m"}{', "Extra data", "JSON 之后还有多余的内容"),
        (b'{"workDir": "C:\\data"}', "Invalid \\escape", "无效的 \\ 转义"),
        ('{"modelName": "模型"}'.encode("gbk"), "cannot be read: it is not UTF-8", "不是 UTF-8 编码"),
        (b'{"modelName": "m", "readyTimeoutSec": 0}', "expected a number over 0", "应为大于 0 的数字"),
    ],
)
def test_parameters_that_are_no_json_are_refused_with_the_place_in_both_languages(
    world, tmp_path, given, english, chinese
):
    path = tmp_path / "service.json"
    path.write_bytes(given)
    refused = world.run("start", "--params", f"@{path}")
    assert refused.status == 2
    assert english in refused.result["cause"]
    assert chinese in refused.result["causeZh"]


def test_a_file_of_parameters_may_begin_with_the_byte_order_mark_of_an_editor(world, tmp_path):
    path = tmp_path / "service.json"
    path.write_bytes(b'\xef\xbb\xbf{"modelName": "m"}')
    assert "modelPath is missing" in world.run("start", "--params", f"@{path}").stderr


def test_a_file_of_parameters_that_is_missing_is_named_in_both_languages(world, tmp_path):
    refused = world.run("start", "--params", f"@{tmp_path}/none.json")
    assert refused.result["cause"] == f"--params @{tmp_path}/none.json cannot be read: No such file or directory"
    assert refused.result["causeZh"].startswith(f"无法读取 --params @{tmp_path}/none.json：")
