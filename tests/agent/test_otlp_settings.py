"""The table [otlp]: what is accepted, what is refused and why, and that secrets stay in their files."""

import sys

import pytest

from tracetail.agent.otlp_settings import OtlpSettings
from tracetail.contract.http_settings import HttpSettingsError

ENDPOINT = "http://collector.example:4318"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (ENDPOINT, f"{ENDPOINT}/v1/logs"),
        (f"{ENDPOINT}/", f"{ENDPOINT}/v1/logs"),
        (f"{ENDPOINT}/v1/logs", f"{ENDPOINT}/v1/logs"),
        ("http://vl:9428/insert/opentelemetry", "http://vl:9428/insert/opentelemetry/v1/logs"),
    ],
)
def test_the_path_of_logs_is_added_to_the_endpoint(endpoint, url):
    assert OtlpSettings(endpoint=endpoint).url == url


def test_secrets_come_from_their_files_as_they_are_now(tmp_path):
    secret = tmp_path / "key"
    settings = OtlpSettings(
        endpoint=ENDPOINT, headers={"X-Scope-OrgID": "a"}, header_files={"Authorization": str(secret)}
    )
    with pytest.raises(HttpSettingsError, match=r"the file of Authorization cannot be read: .*key"):
        settings.check_client()
    secret.write_text("ApiKey first\n")
    assert settings.request_headers() == {"X-Scope-OrgID": "a", "Authorization": "ApiKey first"}
    secret.write_text("ApiKey second\n")
    assert settings.request_headers()["Authorization"] == "ApiKey second"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"endpoint": "collector:4318"}, r"otlp\.endpoint is 'collector:4318'; expected a URL"),
        ({"endpoint": "http://anna:geheim@c:1"}, r"otlp\.endpoint holds a user or password"),
        ({"headers": {"Authorization": "geheim"}}, r"Authorization is a secret; write it into a file"),
        ({"headers": {"X-Api-Key": "geheim"}}, r"X-Api-Key is a secret"),
        ({"headers": {"content-type": "text/plain"}}, r"'content-type' cannot be set"),
        ({"headers": {"a b": "c"}}, r"'a b' cannot be set"),
        ({"headers": {"A": "b\nc"}}, r"the value of A holds unprintable characters"),
        ({"bearer_token_file": "/nowhere/token"}, r"otlp\.bearer_token_file cannot be read"),
        ({"ca_file": "/nowhere/ca.pem"}, r"otlp\.ca_file cannot be used: /nowhere/ca\.pem"),
        ({"password_file": "/nowhere"}, r"otlp\.password_file is set and otlp\.username is not"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(settings, reason):
    with pytest.raises(HttpSettingsError, match=reason) as raised:
        OtlpSettings(**{"endpoint": ENDPOINT, **settings}).check_client()
    assert "geheim" not in str(raised.value)


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.logs.v1.logs_service_pb2", None)
    with pytest.raises(HttpSettingsError, match=r"pip install 'tracetail\[otlp\]'"):
        OtlpSettings(endpoint=ENDPOINT).check_client()
