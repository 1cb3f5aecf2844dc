"""`tracetail redact` shows what would be masked, by the configuration that agent and panel use."""

import json

import pytest
from click.testing import CliRunner

from tracetail.cli.main import main

TEXT = """INFO starting
OPENAI_API_KEY=zz12345 vllm serve --api-key demo-key
-----BEGIN PRIVATE KEY-----
QUJDREVGR0g=
-----END PRIVATE KEY-----
card-42
"""


@pytest.fixture
def redact(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments, config=None, text=TEXT):
        options = []
        if config is not None:
            (tmp_path / "tracetail.toml").write_text(config)
            options = ["--config", str(tmp_path / "tracetail.toml")]
        return CliRunner().invoke(main, [*options, "redact", *arguments], input=text)

    return run


def test_the_lines_with_secrets_are_printed_masked_with_their_kinds(redact, tmp_path):
    expected = [
        "2: OPENAI_API_KEY=*** vllm serve --api-key ***   [flag, named-equals]",
        "4: ***   [private-key]",
    ]
    run = redact()
    assert (run.exit_code, run.stdout.splitlines()) == (0, expected)
    assert run.stderr == "3 secrets in 2 of 6 lines\n"

    (tmp_path / "x.log").write_text(TEXT)
    assert redact(str(tmp_path / "x.log")).stdout.splitlines() == expected
    assert len(redact("--all").stdout.splitlines()) == 6
    shown = [json.loads(line) for line in redact("--json").stdout.splitlines()]
    assert shown[1] == {"number": 4, "kinds": ["private-key"], "text": "***"}


def test_what_is_masked_and_kept_can_be_configured(redact):
    run = redact(config='[agent.redaction]\nextra = ["card-[0-9]+"]\nkeep = ["demo-key"]\n')
    assert run.stdout.splitlines() == [
        "2: OPENAI_API_KEY=*** vllm serve --api-key demo-key   [named-equals]",
        "4: ***   [private-key]",
        "6: ***   [extra[0]]",
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('[agent.redaction]\nextra = ["(("]\n', "redaction pattern 'extra[0]' is not valid: missing ): (("),
        ('[agent.redaction]\nkeep = ["(("]\n', "redaction pattern 'keep' is not valid"),
        ("[agent.redaction]\nextras = []\n", "unknown key extras; did you mean extra?"),
        ('[agent.redaction]\nextra = "x"\n', "agent.redaction.extra: expected a list"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(redact, config, message):
    run = redact(config=config)
    assert run.exit_code == 2
    assert message in run.stderr
