"""deploy/prometheus/: checked and unit-tested by promtool."""

import subprocess
from pathlib import Path

import pytest
import yaml

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
ALERTS = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


def _promtool(*arguments):
    result = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.needs("promtool")
def test_the_configuration_is_valid():
    _promtool("check", "config", "prometheus.yml")


@pytest.mark.needs("promtool")
def test_rules_and_alerts_do_what_their_unit_tests_say():
    _promtool("check", "rules", "rules.yml", "alerts.yml")
    _promtool("test", "rules", "tests.yml")


def test_every_alert_is_unit_tested_and_says_whom_it_is_about():
    tests = yaml.safe_load((PROMETHEUS / "tests.yml").read_text(encoding="utf-8"))["tests"]
    fired = {
        case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case.get("exp_alerts")
    }

    assert {alert["alert"] for alert in ALERTS} == fired
    for alert in ALERTS:
        assert "{{ $labels.host }}" in alert["annotations"]["summary"], alert["alert"]
        assert alert["labels"]["severity"] in {"info", "warning", "critical"}
