"""The table [kafka]: what is accepted, what is refused and why, and that secrets stay in their files."""

import pytest

from tracetail.agent.kafka_settings import KafkaSettings, KafkaSettingsError
from tracetail.agent.shipping.kafka_producer import check_options

BROKERS = ["kafka.example:9092"]


def test_options_have_librdkafkas_own_names_with_or_without_quotes():
    quoted = KafkaSettings(brokers=BROKERS, options={"security.protocol": "SASL_SSL", "linger.ms": 20})
    nested = KafkaSettings(brokers=BROKERS, options={"security": {"protocol": "SASL_SSL"}, "linger": {"ms": 20}})
    assert quoted.client_options() == nested.client_options()
    assert quoted.client_options()["security.protocol"] == "SASL_SSL"
    assert quoted.client_options()["linger.ms"] == "20"
    assert quoted.client_options()["enable.idempotence"] == "true"


def test_secrets_come_from_their_files_as_they_are_now(tmp_path):
    secret = tmp_path / "password"
    settings = KafkaSettings(brokers=BROKERS, option_files={"sasl.password": str(secret)})
    with pytest.raises(KafkaSettingsError, match=r"the file of sasl\.password cannot be read: .*password"):
        settings.client_options()
    secret.write_text("first\n")
    assert settings.client_options()["sasl.password"] == "first"
    secret.write_text("second\n")
    assert settings.client_options()["sasl.password"] == "second"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"brokers": ["kafka.example"]}, r"kafka\.brokers holds 'kafka\.example'; expected host:port"),
        ({"options": {"sasl.password": "geheim"}}, r"sasl\.password is a secret; write it into a file"),
        ({"options": {"ssl.key.pem": "geheim"}}, r"ssl\.key\.pem is a secret"),
        ({"options": {"acks": 1}}, r"acks may not be set: tracetail sets it itself, so that no line is lost"),
        ({"options": {"bootstrap.servers": "x:1"}}, r"bootstrap\.servers may not be set: set kafka\.brokers"),
        ({"options": {"linger.ms": [1]}}, r"linger\.ms has the type list; expected text or a number"),
        ({"options": {"no.such": 1}}, r'No such configuration property: "no\.such"'),
        ({"options": {"compression.type": "best"}}, r'Invalid value "best"'),
        (
            {"options": {"security.protocol": "SSL", "ssl.ca.location": "/nowhere/ca.pem"}},
            r"ssl\.ca\.location failed",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(settings, reason):
    with pytest.raises(KafkaSettingsError, match=reason) as raised:
        check_options(KafkaSettings(**{"brokers": BROKERS, **settings}))
    assert "geheim" not in str(raised.value)


def test_options_that_work_are_accepted(tmp_path):
    (tmp_path / "password").write_text("geheim")
    check_options(
        KafkaSettings(
            brokers=BROKERS,
            options={"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "a"},
            option_files={"sasl.password": str(tmp_path / "password")},
        )
    )
