"""The configuration: every option documented, every mistake named."""

import json
import re
import tomllib

import msgspec
import pytest
from support import commands

from tracetail.cli import config_sources, configuration
from tracetail.cli.config import render_example, render_schema
from tracetail.cli.options import header_of, keys_inside, options
from tracetail.cli.refusals import in_chinese


def load(tmp_path, text, environ=None):
    path = tmp_path / "tracetail.toml"
    path.write_text(text, encoding="utf-8")
    return configuration.load(str(path), {"HOME": "/nonexistent", **(environ or {})})


def test_without_a_file_everything_has_its_default_and_meets_at_the_stores_address():
    loaded = configuration.load(None, {"HOME": "/nonexistent"})
    assert loaded.loki.url == "http://127.0.0.1:3100"
    moved = configuration.load(None, {"HOME": "/nonexistent", "TRACETAIL_STORE_LISTEN": "127.0.0.1:9999"})
    assert moved.loki.url == "http://127.0.0.1:9999"


def test_environment_overrides_the_file(tmp_path):
    loaded = load(tmp_path, '[loki]\nurl = "http://a"\ntenant = "t"', {"TRACETAIL_LOKI_URL": "http://b"})
    assert (loaded.loki.url, loaded.loki.tenant) == ("http://b", "t")


@pytest.mark.parametrize(
    ("text", "environ", "message"),
    [
        ('[loki]\nurll = "x"', {}, r"tracetail\.toml: unknown key loki\.urll; did you mean url\?"),
        ("[lokki]", {}, r"tracetail\.toml: unknown table \[lokki\]; did you mean loki\?"),
        ("[store]\nretention_days = 'x'", {}, r"tracetail\.toml: store\.retention_days: expected a number, got text"),
        ("[store\n", {}, r"tracetail\.toml cannot be read: .*line 1"),
        ('[[agent.sources]]\nglobb = "x"', {}, r"agent\.sources\[0\]: unknown key globb; did you mean glob\?"),
        ('[agent]\nlisten = "foo"', {}, r"tracetail\.toml: agent\.listen is 'foo'; expected host:port"),
        ("", {"TRACETAIL_STORE_LISTEN": ""}, r"TRACETAIL_STORE_LISTEN: store\.listen is ''; expected host:port"),
        (
            '[agent]\npushgateway_url = "pushgw:9091"',
            {},
            r"toml: agent\.pushgateway_url is not usable; expected a URL, ",
        ),
        ('[agent]\nremote_write_url = "prom/api"', {}, r"agent\.remote_write_url is not usable; .*/api/v1/write$"),
        ('[panel]\npowerjob_url = "u:pw@job:7700"', {}, r"panel\.powerjob_url is not usable; [^@]*$"),
        (
            '[panel]\nurl = "logs.example.com"',
            {},
            r"panel\.url is not usable; .*instance https://logs\.example\.com$",
        ),
        ("[loki]\ntimeout_seconds = 0", {}, r"loki\.timeout_seconds: expected a number > 0"),
        ("[store]\nretention_days = 1000000", {}, r"store\.retention_days: expected a number <= 36500"),
        ("[store]\nquery_timeout_seconds = inf", {}, r"store\.query_timeout_seconds: expected a number <= 86400"),
        ('[otlp]\ncompression = "zip"', {}, r"otlp\.compression is 'zip'; expected one of gzip, none$"),
        (
            '[[agent.sources]]\nglob = "/x"\nformat = "json"',
            {},
            r"agent\.sources\[0\]\.format is 'json'; expected one of auto, plain$",
        ),
        ('[agent]\ntimezone = "Mars/X"', {}, r"agent\.timezone is 'Mars/X'; expected a zone"),
        ("", {"TRACETAIL_LOKI_URL": "localhost:3100"}, r"TRACETAIL_LOKI_URL: .*expected a URL"),
        (
            '[loki]\nurl = "http://u:hunter2@h"',
            {},
            r"loki\.url holds a user or password; put .* loki\.password_file$",
        ),
        ("loki = 3", {}, r"loki must be a table"),
        (
            "",
            {"TRACETAIL_STORE_RETENTION_DAYS": "x"},
            "TRACETAIL_STORE_RETENTION_DAYS: store.retention_days: expected",
        ),
        ("", {"TRACETAIL_AGENT_LISTENN": "x"}, "TRACETAIL_AGENT_LISTENN; did you mean TRACETAIL_AGENT_LISTEN"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_was_expected(tmp_path, text, environ, message):
    with pytest.raises(config_sources.ConfigurationError, match=message):
        load(tmp_path, text, environ)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[loki]\ntimeout_seconds = 0", "大于 0.0 的数字"),
        ("[agent]\nheartbeat_seconds = -1", "不小于 0.0 的数字"),
        ("[agent]\nbatch_kib = 1", "不小于 16 的整数"),
        ("[agent]\nbatch_kib = 9999", "不大于 1024 的整数"),
        ("[panel]\nrecent_hours = 1e300", "不大于 720.0 的数字"),
    ],
)
def test_a_number_that_cannot_be_used_is_refused_in_chinese_without_english(tmp_path, text, expected):
    with pytest.raises(config_sources.ConfigurationError) as refused:
        load(tmp_path, text)
    assert in_chinese(str(refused.value)).endswith(f"：应为{expected}")


def test_an_address_that_is_none_is_refused_in_chinese_without_english(tmp_path):
    for table, key in (("panel", "url"), ("agent", "pushgateway_url")):
        with pytest.raises(config_sources.ConfigurationError) as refused:
            load(tmp_path, f'[{table}]\n{key} = "logs.example.com"')
        assert f"{table}.{key} 不能用；应为 URL，例如 http" in in_chinese(str(refused.value))


def test_the_example_is_valid_documents_every_option_and_shows_the_defaults(tmp_path):
    text = render_example()
    for option in options(configuration.Configuration):
        assert option.description, f"{option.table}.{option.key} needs a description"
        inside = keys_inside(option)
        for shown in inside or [option]:
            assert f"# {shown.description}\n# {shown.key} = " in text
        if inside:
            assert f"# {header_of(option)}" in text
    uncommented = re.sub(r"^# (?=\w+ = |\[)", "", text, flags=re.MULTILINE)
    assert set(tomllib.loads(uncommented)) == {"loki", "kafka", "otlp", "agent", "launcher", "panel", "store"}
    shown = load(tmp_path, uncommented)
    assert [len(shown.agent.sources), len(shown.agent.redact)] == [1, 1]
    lists_apart = msgspec.structs.replace(shown, agent=msgspec.structs.replace(shown.agent, sources=[], redact=[]))
    assert lists_apart == configuration.load(None, {"HOME": "/nonexistent"})


def test_without_a_url_the_stores_address_and_secret_are_used():
    environ = {
        "HOME": "/nonexistent",
        "TRACETAIL_STORE_LISTEN": "0.0.0.0:3200",
        "TRACETAIL_STORE_SECRET_FILE": "/run/secret",
    }
    loki = configuration.load(None, environ).loki
    assert (loki.url, loki.bearer_token_file) == ("http://127.0.0.1:3200", "/run/secret")
    elsewhere = configuration.load(None, {**environ, "TRACETAIL_LOKI_URL": "http://loki:3100"}).loki
    assert (elsewhere.url, elsewhere.bearer_token_file) == ("http://loki:3100", "")


def test_the_schema_knows_every_option():
    document = render_schema()
    json.dumps(document)
    described = {
        (name, key): value.get("description")
        for name, table in document["$defs"].items()
        for key, value in table.get("properties", {}).items()
    }
    for option in options(configuration.Configuration):
        assert option.description in described.values()


def test_config_check_says_what_it_checked(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("[agent]\nlisten = 3\n")
    run = commands.run("config", "check", str(path), text=True)
    assert run.returncode == 2
    assert run.stderr == f"error: {path}: agent.listen: expected text, got a whole number\n"


def test_config_check_looks_into_the_tables_of_services(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('[launcher.services.q]\nmodelNam = "x"\n')
    run = commands.run("config", "check", str(path), text=True)
    assert run.returncode == 2
    assert "launcher.services.q: unknown parameter 'modelNam'; did you mean modelName?" in run.stderr
    path.write_text('[launcher.services.q]\nport = "abc"\n')
    run = commands.run("config", "check", str(path), text=True)
    assert run.returncode == 2
    assert "launcher.services.q: port is" in run.stderr


def test_schema_of_the_parameters_knows_the_original_keys():
    run = commands.run("config", "schema", "--params", text=True, check=True)
    document = json.loads(run.stdout)
    (parameters,) = [table for table in document["$defs"].values() if "modelName" in table.get("properties", {})]
    original = {"modelName", "modelPath", "port", "pythonBin", "scriptPath", "callbackUrl"}
    assert original <= parameters["properties"].keys()


def test_check_names_globs_that_match_nothing_and_encodings_that_do_not_exist(tmp_path):
    path = tmp_path / "tracetail.toml"
    (tmp_path / "here.log").touch()
    globs = [f"{tmp_path}/*.log", f"{tmp_path}/*.txt", f"{tmp_path}/none/*.log"]
    path.write_text("".join(f'[[agent.sources]]\nglob = "{glob}"\n' for glob in globs))
    command = ("config", "check", str(path))
    run = commands.run(*command, text=True, check=True)
    assert run.stdout == f"ok: {path}\n"
    assert run.stderr.splitlines() == [
        f"warning: the glob {globs[1]} of agent.sources matches no file in {tmp_path}",
        f"warning: the glob {globs[2]} of agent.sources matches no file: there is no directory {tmp_path}/none",
    ]
    for encoding in ("gbkk", "base64", "idna"):
        path.write_text(f'[[agent.sources]]\nglob = "/*.log"\nencoding = "{encoding}"\n')
        run = commands.run(*command, text=True)
        assert run.returncode == 2
        assert f"agent.sources[0].encoding is '{encoding}'; expected an encoding as utf-8" in run.stderr


def test_the_hosts_of_loki_may_be_limited():
    environ = {"HOME": "/nonexistent", "TRACETAIL_LOKI_ALLOWED_HOSTS": "loki.example,*.internal"}
    for url in ("https://loki.example", "http://a.internal:3100"):
        assert configuration.load(None, {**environ, "TRACETAIL_LOKI_URL": url}).loki.url == url
    with pytest.raises(config_sources.ConfigurationError, match=r"'elsewhere' is not one of loki\.allowed_hosts"):
        configuration.load(None, {**environ, "TRACETAIL_LOKI_URL": "http://elsewhere:3100"})


def test_every_table_may_be_set_by_environment_variables():
    assert tuple(field.name for field in msgspec.structs.fields(configuration.Configuration)) == config_sources.TABLES
