"""The configurations of deploy/loki in a real Loki: a pushed line is in the store, and found after a restart."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.real_loki import RealLoki
from support.waiting import eventually

from tracetail.loki.client import LokiClient
from tracetail.loki.settings import LokiSettings

pytestmark = [pytest.mark.loki, pytest.mark.timeout(180)]

LABELS = {"traceId": "t1", "instanceId": "i1", "service_name": "m", "env": "test", "engine": "vllm", "host": "h"}
HOUR_NS = 3600 * 1_000_000_000


async def push(loki: RealLoki, launch_id: str, times: list[int], *, level: str = "info") -> None:
    async with LokiClient(LokiSettings(url=loki.url, tenant=loki.headers.get("X-Scope-OrgID", ""))) as client:
        entries = [(time_ns, f"line {number}", {"level": level}) for number, time_ns in enumerate(times)]
        await client.push_entries({**LABELS, "launchId": launch_id}, entries)


async def lines(loki: RealLoki, launch_id: str) -> list[str]:
    async with LokiClient(LokiSettings(url=loki.url, tenant=loki.headers.get("X-Scope-OrgID", ""))) as client:
        now = time.time_ns()
        found = await client.all_entries(f'{{launchId="{launch_id}"}}', now - 100 * HOUR_NS, now + HOUR_NS)
        return [entry.line for entry in found]


def written(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_the_single_one_stores_below_its_directory_and_finds_the_lines_after_a_restart(start_loki):
    loki = await start_loki()
    now = time.time_ns()
    await push(loki, "20261122T211210-000001", [now, now + 1])
    await loki.flush()
    chunks = loki.directory / "chunks" / "fake"
    await eventually(lambda: chunks.is_dir() and written(chunks), "chunks in the store")
    assert {path.name for path in loki.directory.iterdir() if path.is_dir()} >= {"chunks", "wal"}
    await loki.stop()
    assert any("index" in str(path) for path in written(loki.directory / "chunks"))
    await loki.start()
    assert await lines(loki, "20261122T211210-000001") == ["line 0", "line 1"]


async def test_lines_that_are_shipped_late_can_be_read_at_once(start_loki):
    loki = await start_loki()
    now = time.time_ns()
    late = [now - hours * HOUR_NS for hours in (150, 50, 3, 2)]
    for number, time_ns in enumerate(late):  # each is too far behind the next one for one stream
        await push(loki, f"20261122T211210-{number:06x}", [time_ns])
    for number in range(len(late)):
        assert len(await lines(loki, f"20261122T211210-{number:06x}")) == (number > 0)  # 150 h are outside the query


async def test_logs_drilldown_finds_levels_volumes_and_patterns(start_loki):
    loki = await start_loki()
    now = time.time_ns()
    await push(loki, "20261122T211210-000001", [now], level="error")
    span = {"start": str(now - HOUR_NS), "end": str(now + HOUR_NS)}
    [stream] = (await loki.get("query_range", query='{traceId="t1"}', **span))["result"]
    assert stream["stream"]["detected_level"] == "error"
    assert (await loki.get("index/volume", query='{traceId="t1"}', **span))["result"]
    assert isinstance(await loki.get("patterns", query='{traceId="t1"}', **span), list)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """Yield the address of an object store with the bucket `logs`."""
    server = pytest.importorskip("moto.server", reason="needs an object store: pip install 'moto[s3,server]'")
    boto3 = pytest.importorskip("boto3")
    store = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    store.start()
    host, port = store.get_host_and_port()
    bucket = boto3.resource(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    ).Bucket("logs")
    bucket.create()
    yield f"{host}:{port}"
    store.stop()


async def test_the_production_one_stores_in_the_object_store_and_finds_the_lines_after_a_restart(s3, tmp_path):
    loki = RealLoki(tmp_path / "loki", "loki-production.yaml")
    loki.config["common"]["replication_factor"] = 1  # one process is run here, not three
    loki.config["common"]["instance_addr"] = "127.0.0.1"
    loki.headers = {"X-Scope-OrgID": "platform"}
    loki.environ = {
        "LOKI_S3_ENDPOINT": s3,
        "LOKI_S3_REGION": "us-east-1",
        "LOKI_S3_BUCKET": "logs",
        "LOKI_S3_ACCESS_KEY": "key",
        "LOKI_S3_SECRET_KEY": "secret",
        "LOKI_S3_INSECURE": "true",
        "LOKI_MEMBERS": "127.0.0.1:7946",
        "LOKI_COMPACTOR": "127.0.0.1",
        "LOKI_COMPACTOR_MODE": "main",
    }
    try:
        await loki.start()
        now = time.time_ns()
        # An empty answer about the past that is kept would hide lines that are shipped late.
        assert await lines(loki, "20261122T211210-000001") == []
        await push(loki, "20261122T211210-000001", [now - 3 * HOUR_NS, now - 3 * HOUR_NS + 1])
        await loki.flush()
        await eventually(lambda: _keys(s3, "platform/"), "chunks in the object store")
        await eventually(lambda: lines(loki, "20261122T211210-000001"), "lines of three hours ago")
        await loki.stop()
        await loki.start()
        assert await lines(loki, "20261122T211210-000001") == ["line 0", "line 1"]
    finally:
        await loki.kill()


def _keys(endpoint: str, prefix: str) -> list[str]:
    client = pytest.importorskip("boto3").client(
        "s3",
        endpoint_url=f"http://{endpoint}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    return [item["Key"] for item in client.list_objects_v2(Bucket="logs", Prefix=prefix).get("Contents", [])]
