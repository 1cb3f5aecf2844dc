"""The agent imports what its options need when they are set: each module costs every machine memory."""

import pytest
from support.agent_loki import LokiStandIn

OPTIONS = {
    "confluent_kafka",
    "google.protobuf",
    "jwt",
    "lark",
    "rich",
    "tracetail.agent.dry_run",
    "tracetail.agent.metrics.pushgateway",
    "tracetail.agent.metrics.remote_write",
    "tracetail.agent.shipping.kafka_delivery",
    "tracetail.agent.shipping.kafka_producer",
    "tracetail.agent.shipping.otlp_delivery",
    "tracetail.agent.verify",
    "zoneinfo",
}
FOR_METRICS_OF_LAUNCHES = {"psutil"}
OTHER_PARTS = ("tracetail.assistant", "tracetail.client", "tracetail.launcher", "tracetail.panel", "tracetail.store")


def imported(agent) -> set[str]:
    """Return the names of the modules that an agent has imported."""
    lines = [line for line in agent.errors if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.fixture
def shows_imports(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return variables with which an agent in a Python of its own prints what it imports."""
    monkeypatch.setenv("AGENT_COMMAND_PREFIX", "env")
    return {"PYTHONPROFILEIMPORTTIME": "1"}


async def test_an_agent_imports_nothing_for_options_that_are_not_set(
    start_agent, loki: LokiStandIn, tmp_path, shows_imports
) -> None:
    (tmp_path / "app.log").write_text("INFO one\n")
    agent = await start_agent(f'[[agent.sources]]\nglob = "{tmp_path}/app.log"\n', environ=shows_imports)
    await loki.until(lambda: loki.lines() == ["INFO one"])
    assert "tracetail_agent_lines_read_total" in await agent.metrics()
    modules = imported(agent)
    assert "tracetail.agent.service" in modules
    assert modules & (OPTIONS | FOR_METRICS_OF_LAUNCHES) == set()
    of_others = {name for name in modules if name.startswith(OTHER_PARTS) and not name.endswith(".settings")}
    assert of_others <= set(OTHER_PARTS)


async def test_an_option_that_is_set_is_imported_with_the_start(start_agent, shows_imports) -> None:
    config = '[agent]\ntimezone = "Europe/Berlin"\npushgateway_url = "http://127.0.0.1:1"\n'
    agent = await start_agent(config, environ=shows_imports)
    modules = imported(agent)
    assert modules & OPTIONS == {"tracetail.agent.metrics.pushgateway", "zoneinfo"}
