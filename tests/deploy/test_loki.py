"""deploy/loki/: the two configurations agree with what the agent sends, and the compose file with what there is.

Neither Loki nor Docker is run here.
"""

from pathlib import Path

import pytest
import yaml

from tracetail.contract.labels import ENTRY_MAX_BYTES, LABEL_COUNT_MAX, LAUNCH_LABELS
from tracetail.loki.limits import ENTRIES_PER_QUERY_MAX

ROOT = Path(__file__).parents[2]
LOKI = ROOT / "deploy" / "loki"
SINGLE = yaml.safe_load((LOKI / "loki-single.yaml").read_text(encoding="utf-8"))
PRODUCTION = yaml.safe_load((LOKI / "loki-production.yaml").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((LOKI / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("config", [SINGLE, PRODUCTION], ids=["single", "production"])
def test_limits_fit_what_the_agent_sends(config):
    limits = config["limits_config"]

    assert limits["allow_structured_metadata"] is True
    assert limits["max_line_size"] == ENTRY_MAX_BYTES
    assert limits["max_line_size_truncate"] is False
    assert limits["max_label_names_per_series"] == LABEL_COUNT_MAX > len(LAUNCH_LABELS)
    assert limits["max_entries_limit_per_query"] == ENTRIES_PER_QUERY_MAX
    assert limits["volume_enabled"] is True
    assert {stream["selector"] for stream in limits["retention_stream"]} == {'{env="prod"}', '{env="dev"}'}
    assert config["compactor"]["retention_enabled"] is True
    (schema,) = config["schema_config"]["configs"]
    assert (schema["store"], schema["schema"]) == ("tsdb", "v13"), "structured metadata needs both"


def test_production_is_for_tenants_replicas_and_an_object_store():
    assert PRODUCTION["auth_enabled"] is True
    assert PRODUCTION["common"]["replication_factor"] == 3
    assert PRODUCTION["schema_config"]["configs"][0]["object_store"] == "s3"
    assert PRODUCTION["compactor"]["delete_request_store"] == "s3"


def test_the_single_one_listens_on_loopback():
    assert SINGLE["server"]["http_listen_address"] == "127.0.0.1"


def test_every_file_that_compose_mounts_is_there():
    for name, service in COMPOSE["services"].items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (LOKI / source).exists(), f"{name}: {source}"
            elif not source.startswith(("/", "$")):
                assert source in COMPOSE["volumes"]
    build = COMPOSE["services"]["agent"]["build"]
    assert (LOKI / build["context"] / build["dockerfile"]).is_file()


def test_no_secret_stands_in_the_compose_file():
    text = (LOKI / "docker-compose.yml").read_text(encoding="utf-8")

    assert "ADMIN_PASSWORD__FILE" in text
    assert "ADMIN_PASSWORD:" not in text
