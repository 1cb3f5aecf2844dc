"""No secret gets out: not by messages, not by command lines, not by redirects or proxies."""

import http.server
import json
import threading
import time

import pytest

from tracetail.contract import outbox
from tracetail.launcher import params as parameters
from tracetail.launcher import params_input
from tracetail.launcher.callbacks import deliver, post


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"environ": {"MY_PASSWORD": "zzsecret", "B": None}}, "environ.B: expected a string, got null"),
        ({"args": "--api-key zzsecret"}, "args: expected a list, got a string"),
        ({"callbackUrl": "htps://u:zzsecret@h/"}, "callbackUrl: expected http://… or https://…, not htps:…"),
        *(
            ({"callbackUrl": url}, "callbackUrl has a blank, or a host or port that there cannot be")
            for url in (
                "http://u:zz secret@h/",
                "http://u:zzsecret@h:99999/",
                "http://h:-1",
                "http://h:x/",
                "http://:80/",
            )
        ),
        ({"callbackUrl": "http://h/a b"}, "callbackUrl has a blank"),
        ({"callbackUrl": "http://h/\r\nX: y"}, "callbackUrl has a blank"),
        ({"args": ["--api-key", "zzsecret", None]}, "args[2]: expected a string, got null"),
        ({"environ": "PASSWORD=zzsecret"}, "environ: expected an object, got a string"),
        ({"engine": "tgi"}, 'engine is "tgi": expected one of vllm, sglang, mindie, custom'),
        ({"modelname": "m"}, "unknown parameter 'modelname'; did you mean modelName?"),
    ],
)
def test_a_message_names_the_parameter_and_never_a_secret(given, message):
    with pytest.raises(parameters.ParametersError) as caught:
        params_input.from_object({"modelName": "m", "modelPath": "/x"} | given)
    assert message in str(caught.value)
    assert "zzsecret" not in str(caught.value)


def test_a_refused_start_does_not_keep_the_secret_of_its_parameters(world):
    given = {"modelName": "m", "modelPath": "/", "traceId": "t-1", "callbackUrl": "htps://u:zzsecret@h/"}
    refused = world.run("start", "--params", json.dumps(given))
    assert refused.status == 2
    launch = world.launch(refused.result)
    assert "zzsecret" not in refused.stdout + refused.stderr + launch.record_path.read_text()


def test_one_secret_is_masked_wherever_a_launch_shows_it(world, wait_until, receiver):
    line = """vllm: error: badge-zzsecret HF_TOKEN=zzsecret --db-password 'zzsecret zzsecret' api_key: "zzsecret" """
    (world.root / "tracetail.toml").write_text("[agent.redaction]\nextra = ['(badge-)[a-z]+']\n")
    world.environ["TRACETAIL_CONFIG"] = str(world.root / "tracetail.toml")
    steps = [["text", line + "\n"], ["exit", 1]]

    started = world.start(steps, args=["--db-password", "zzsecret"], callbackUrl=receiver.url)

    launch = world.launch(started.result)
    record = world.ended(launch)
    wait_until(lambda: receiver.events() == ["failed"])
    shown = {
        "the record's command line": " ".join(record["argv"]),
        "the record's evidence": json.dumps(record["exit"], ensure_ascii=False),
        "the events": json.dumps([event.fields for event in world.events(launch)], ensure_ascii=False),
        "the result, with the log's tail": started.stdout + started.stderr,
        "the callback": json.dumps(receiver.posts, ensure_ascii=False),
        "what the agent sends": world.run("agent", "try", record["logFile"]).stdout,
    }
    assert {name: text for name, text in shown.items() if "zzsecret" in text} == {}
    assert {name: text for name, text in shown.items() if "--db-password" not in text or "***" not in text} == {}


def test_a_start_refuses_an_expression_that_it_cannot_mask_with(world):
    (world.root / "t.toml").write_text("[agent.redaction]\nextra = ['\\pL+']\n")
    refused = world.run("start", "--model-name", "m", environ={"TRACETAIL_CONFIG": str(world.root / "t.toml")})
    assert refused.status == 2
    assert "agent.redaction.extra[0]" in refused.result["cause"]


def test_a_refused_model_name_with_a_newline_is_not_kept(world):
    refused = world.run("start", "--params", '{"modelName": "a\\nb", "modelPath": "/", "traceId": "t-1"}')
    assert world.launch(refused.result).read()["modelName"] == "unknown"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(dict(self.headers))
        if self.server.accepted not in ("", self.headers["Authorization"]):
            self.send_response(401)
        else:
            self.send_response(302 if self.server.location else 204)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()

    def do_GET(self):
        self.do_POST()

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    servers = []

    def make(location=""):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.seen, server.location, server.accepted = [], location, ""
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return server

    yield make
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def callback(url, token=""):
    return {"url": url, "tokenFile": token, "createdAt": 0.0, "attempts": 0, "body": {"eventId": "e1"}}


def test_a_redirect_is_a_failure_and_takes_no_token_along(endpoint, tmp_path):
    token = tmp_path / "token"
    token.write_text("zzsecret")
    other = endpoint()
    here = endpoint(f"http://127.0.0.1:{other.server_port}/elsewhere")
    with pytest.raises(OSError, match="302"):
        post(callback(f"http://127.0.0.1:{here.server_port}/", str(token)))
    assert other.seen == []


def test_a_token_that_is_rotated_while_a_callback_is_tried_is_used(endpoint, tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text("old\n")
    server = endpoint()
    server.accepted = "Bearer new"
    path = outbox.put(tmp_path / "outbox", callback(f"http://127.0.0.1:{server.server_port}/cb", str(token)))
    monkeypatch.setattr(time, "sleep", lambda _: token.write_text("new\n"))
    assert deliver(path, time.monotonic() + 30)
    assert [headers["Authorization"] for headers in server.seen] == ["Bearer old", "Bearer new"]


def test_credentials_in_the_url_are_sent_as_such(endpoint):
    server = endpoint()
    post(callback(f"http://bob:p%40w@127.0.0.1:{server.server_port}/cb"))
    assert server.seen[0]["Authorization"] == "Basic Ym9iOnBAdw=="


def test_a_proxy_is_not_used_for_this_machine(endpoint, monkeypatch):
    server = endpoint()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    post(callback(f"http://127.0.0.1:{server.server_port}/cb"))
    assert len(server.seen) == 1


def test_a_callback_with_a_password_is_for_its_owner_only(tmp_path):
    path = outbox.put(tmp_path / "outbox", callback("http://bob:pw@host/cb"))
    assert path.stat().st_mode & 0o777 == 0o600
    path = outbox.put(tmp_path / "outbox", callback("http://host/cb@x"))
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("parameter", ["apiKeyFile", "callbackTokenFile"])
@pytest.mark.parametrize(
    ("content", "message", "chinese"),
    [
        (None, "cannot be read", "无法读取 {}："),
        ("\n", "is empty", "{} 是空的："),
        ("a\nb", "more than one line", "{} 不止一行"),
    ],
)
def test_a_start_whose_secret_file_holds_no_secret_is_refused(world, tmp_path, parameter, content, message, chinese):
    path = tmp_path / "secret"
    if content is not None:
        path.write_text(content)
    refused = world.start([["stay"]], **{parameter: str(path)})
    assert refused.status == 15
    assert refused.result["cause"].startswith(parameter)
    assert message in refused.result["cause"]
    assert refused.result["causeZh"].startswith(chinese.format(parameter))


def test_an_api_key_that_has_vanished_is_named_by_warmup(world, tmp_path, free_port):
    key, port = tmp_path / "key", free_port()
    key.write_text("geheim\n")
    steps = [["serve", port, ["m"]], ["stay"]]
    assert world.start(steps, port=port, readyWhen="http", apiKeyFile=str(key)).status == 0
    key.unlink()
    ran = world.run("warmup", "--model-name", "m")
    assert ran.status == 2
    assert "apiKeyFile cannot be read" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
