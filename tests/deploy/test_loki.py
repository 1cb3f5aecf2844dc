"""deploy/loki/: the two configurations agree with what the agent sends, and the compose file with what there is.

Neither Loki nor Docker is run here.
"""

import re
from pathlib import Path

import pytest
import yaml

from tracetail.contract import heartbeat
from tracetail.contract.labels import ENTRY_MAX_BYTES, LABEL_COUNT_MAX, LAUNCH_LABELS, SERVICE_NAME
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
    heartbeats = f'{{{SERVICE_NAME}="{heartbeat.SERVICE}"}}'
    selectors = {stream["selector"] for stream in limits["retention_stream"]}
    assert selectors == {'{env="prod"}', '{env="dev"}', heartbeats}
    assert config["compactor"]["retention_enabled"] is True
    (schema,) = config["schema_config"]["configs"]
    assert (schema["store"], schema["schema"]) == ("tsdb", "v13"), "structured metadata needs both"


@pytest.mark.parametrize("config", [SINGLE, PRODUCTION], ids=["single", "production"])
def test_nothing_hides_or_divides_what_the_agent_ships(config):
    """What test_loki_runs.py observes in a real Loki, for where there is none."""
    limits = config["limits_config"]

    assert limits["shard_streams"]["enabled"] is False
    assert limits["discover_log_levels"] is True
    assert config["pattern_ingester"]["enabled"] is True
    assert config["server"]["grpc_server_max_send_msg_size"] > 4 << 20
    assert config["server"]["grpc_server_max_recv_msg_size"] > 4 << 20


def test_late_lines_are_found_and_the_storage_is_the_one_that_is_configured():
    assert SINGLE["ingester"]["query_store_max_look_back_period"] == "192h"
    assert SINGLE["storage_config"]["use_thanos_objstore"] is True
    assert SINGLE["storage_config"]["object_store"]["filesystem"]["dir"].startswith("/var/lib/loki")
    assert PRODUCTION["limits_config"]["max_cache_freshness_per_query"] == "192h"
    assert PRODUCTION["querier"]["query_ingesters_within"] == "192h"
    assert PRODUCTION["storage_config"]["use_thanos_objstore"] is True
    assert "s3" in PRODUCTION["storage_config"]["object_store"]


@pytest.mark.parametrize(
    ("config", "machines"), [(SINGLE, "1,000"), (PRODUCTION, "10,000")], ids=["single", "production"]
)
def test_the_limits_hold_the_fleet_that_the_page_on_scale_computes(config, machines):
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| {machines} \| [\d,]+ \| ([\d,]+) \|", page, re.MULTILINE)
    active = int(row[1].replace(",", ""))
    limits = config["limits_config"]

    assert active < limits["max_global_streams_per_user"] <= 100_000, "Grafana's advice for one tenant"
    for name in ("ingestion_rate_mb", "ingestion_burst_size_mb"):
        assert limits[name] > 8.3, "MB a second of 10,000 machines"
    limit = f"{limits['max_global_streams_per_user']:,}"
    assert re.search(rf"^\| `max_global_streams_per_user` .* {limit} ", page, re.MULTILINE)


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
