"""The checks of `tracetail doctor` on services: Loki, agent, panel, Pushgateway, remote-write receiver."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import msgspec

from tracetail.agent.metrics.exporters import remote_write_headers
from tracetail.agent.metrics.remote_write import RefusedError, RemoteWriter, UnavailableError
from tracetail.agent.metrics.remote_write import encode as encode_samples
from tracetail.cli.configuration import Configuration, secret_file, store_url
from tracetail.cli.findings import Finding, ok, problem, warning
from tracetail.contract.http_headers import bearer
from tracetail.contract.labels import ENV, HOST, LAUNCH_ID, LAUNCH_LABELS, METADATA_LEVEL
from tracetail.contract.secret_file import read_secret
from tracetail.loki import entries, logql
from tracetail.loki.answers import PushAnswer
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiError, LokiUnavailableError
from tracetail.loki.push import single_body
from tracetail.loki.settings import LokiSettings, LokiSettingsError

READ_BACK_SECONDS = 15.0
CLOCK_WARNING_SECONDS = 5.0
CLOCK_PROBLEM_SECONDS = 300.0
"""Loki refuses entries more than ten minutes ahead of its clock; the agent ignores times more than five ahead."""
LAG_WARNING_BYTES = 64 << 20
_TIMEOUT_SECONDS = 10.0
_TIMEOUT = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)


async def check_loki(settings: Configuration) -> AsyncIterator[Finding]:
    """Push one line and read it back, as agent and panel do; compare the clocks."""
    loki = settings.loki
    try:
        async with LokiClient(msgspec.structs.replace(loki, timeout_seconds=_TIMEOUT_SECONDS)) as client:
            try:
                skew = await _clock_skew(client)
            except LokiUnavailableError as error:
                yield problem("loki", str(error), _how_to_reach(settings))
                return
            if skew is not None:
                yield judge_clock(skew)
            async for finding in _round_trip(client, loki):
                yield finding
    except LokiSettingsError as error:
        yield problem("loki", str(error), "correct the setting")


async def _clock_skew(client: LokiClient) -> float | None:
    """Return by how many seconds our clock is ahead of Loki's; None if unknown. Raises LokiUnavailableError."""
    theirs = await client.clock()
    # Loki's Date has whole seconds: half of one is the best estimate of the rest.
    return None if theirs is None else time.time() - (theirs + 0.5)


def _reason(error: Exception) -> str:
    """Return the system's error message where there is one, else that of the exception."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    number = getattr(cause, "errno", None)
    return os.strerror(number) if number and number > 0 else str(cause) or type(cause).__name__


def judge_clock(ahead_seconds: float) -> Finding:
    """Return the finding about this machine's clock. ahead_seconds: by how much it is ahead of Loki's."""
    off = f"this machine's clock is {abs(ahead_seconds):.0f} s {'ahead of' if ahead_seconds > 0 else 'behind'} Loki's"
    if abs(ahead_seconds) > CLOCK_PROBLEM_SECONDS:
        return problem("clock", f"{off}: lines will be refused or found at the wrong time", "switch NTP on: chrony")
    if abs(ahead_seconds) > CLOCK_WARNING_SECONDS:
        return warning("clock", off, "switch NTP on: chrony or systemd-timesyncd")
    return ok("clock", "agrees with Loki's")


def _how_to_reach(settings: Configuration) -> str:
    if settings.loki.url.rstrip("/") == store_url(settings.store):
        return "start the embedded store (tracetail store, or tracetail up), or set loki.url to your Loki"
    return "look at loki.url, loki.proxy and loki.ca_file, and whether Loki runs"


def _probe_labels() -> dict[str, str]:
    """Return as many labels as a launch has: a limit of Loki for labels refuses the probe, too.

    Another one stands for launchId: the panel lists whatever has that one as a launch.
    """
    launch = dict.fromkeys(LAUNCH_LABELS, "tracetail-doctor")
    del launch[LAUNCH_ID]
    return {**launch, ENV: "test", HOST: socket.gethostname(), "probe": "tracetail-doctor"}


async def _round_trip(client: LokiClient, loki: LokiSettings) -> AsyncIterator[Finding]:
    labels = _probe_labels()
    text = f"tracetail doctor was here: {secrets.token_hex(8)}"
    now = time.time_ns()
    meta = entries.encode_metadata({METADATA_LEVEL: "info"}) if loki.structured_metadata else b""
    body = single_body(labels, [entries.Entry(now, text.encode(), meta)])
    try:
        answer = await client.push(body.data)
    except LokiUnavailableError as error:
        yield problem("loki", f"a push was not answered: {error}", "look at loki.url and what is in front of Loki")
        return
    if answer.status != 204:
        yield _refused_push(answer)
        return
    query = f"{logql.selector(labels)} |= {logql.quote(text)}"
    begin = time.monotonic()
    try:
        while not (found := await client.all_entries(query, now, now + 1)):
            if time.monotonic() - begin > READ_BACK_SECONDS:
                yield problem(
                    "loki",
                    f"a line that was pushed to {loki.url} was not found within {READ_BACK_SECONDS:.0f} s",
                    "check that reading goes to the same Loki and tenant as writing (loki.tenant)",
                )
                return
            await asyncio.sleep(0.1)
    except LokiError as error:
        if error.status is None:
            yield problem("loki", f"a query was not answered: {error}", "look at what is in front of Loki")
        else:
            yield problem("loki", f"reading is refused: {error}", "panel, logs and the agent's restart need to read")
        return
    yield ok("loki", f"a line was pushed to {loki.url} and read back after {time.monotonic() - begin:.1f} s")
    if loki.structured_metadata and found[0].labels.get(METADATA_LEVEL) != "info":
        yield warning(
            "loki",
            "structured metadata did not come back: levels cannot be filtered by",
            "switch allow_structured_metadata on in Loki (schema v13), or set loki.structured_metadata = false",
        )


def _refused_push(answer: PushAnswer) -> Finding:
    text = f"a push was answered {answer.status}: {answer.text[:200]}"
    if "structured metadata" in answer.text:
        return problem(
            "loki", text, "switch allow_structured_metadata on in Loki, or set loki.structured_metadata = false"
        )
    if answer.status in (401, 403):
        return problem("loki", text, "look at loki.bearer_token_file, loki.username, loki.tenant")
    if answer.status == 404:
        return problem("loki", text, "loki.url must be the base address, without /loki/api/v1/push")
    if "label" in answer.text:
        return problem(
            "loki", text, "raise the limits of labels in Loki (max_label_names_per_series): every line is refused"
        )
    return problem("loki", text, "look at Loki's limits and log")


async def check_parts(settings: Configuration) -> AsyncIterator[Finding]:
    """Check that agent and panel answer and work."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        yield await _agent(session, settings)
        yield await _panel(session, settings)


async def _agent(session: aiohttp.ClientSession, settings: Configuration) -> Finding:
    address = f"http://{settings.agent.listen}"
    not_running = "start it: systemctl start tracetail-agent, tracetail agent, or tracetail up"
    try:
        path = secret_file("agent", settings)
        headers = bearer(read_secret("agent.secret_file", path)) if path else {}
        async with session.get(f"{address}/status", headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                text = (await answer.text())[:200]
                return problem(
                    "agent", f"{address} answered {answer.status}: {text}", "is another program at agent.listen?"
                )
            status = await answer.json(content_type=None)
    except aiohttp.ClientConnectorError:
        return warning("agent", f"no agent answers at {address}: nothing is shipped", not_running)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return problem("agent", f"{address} did not answer: {error}", "is another program at agent.listen?")
    if not status["healthy"]:
        return problem("agent", f"it cannot ship: {status['error']}", "nothing is lost; see the finding about Loki")
    backlog = sum(source["backlogBytes"] for source in status["sources"])
    rejected = sum(source["rejected"] for source in status["sources"])
    if backlog > LAG_WARNING_BYTES:
        return warning(
            "agent", f"{backlog >> 20} MiB wait to be shipped", "look at Loki's limits and the agent's log"
        )
    if rejected:
        return warning("agent", f"Loki refused {rejected} lines", "see which and why: tracetail agent rejected")
    return ok("agent", f"ships {len(status['sources'])} logs to {status['loki']}")


async def _panel(session: aiohttp.ClientSession, settings: Configuration) -> Finding:
    address = f"http://{settings.panel.listen}"
    try:
        async with session.get(f"{address}/healthz", allow_redirects=False) as answer:
            if answer.status == 200:
                return ok("panel", f"answers at {address}")
            if answer.status == 503:
                return problem("panel", "it cannot read from Loki", "see the finding about Loki")
            return problem("panel", f"{address} answered {answer.status}", "is another program at panel.listen?")
    except aiohttp.ClientConnectorError:
        return warning("panel", f"no panel answers at {address}", "start it, if it is to run on this machine")
    except (aiohttp.ClientError, OSError) as error:
        return problem("panel", f"{address} did not answer: {error}", "is another program at panel.listen?")


async def check_metrics(settings: Configuration) -> AsyncIterator[Finding]:
    """Check the Pushgateway and the remote-write receiver, where they are configured."""
    agent = settings.agent
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        if agent.pushgateway_url:
            yield await _pushgateway(session, agent.pushgateway_url.rstrip("/"))
        if agent.remote_write_url:
            yield await _remote_write(session, settings)


async def _pushgateway(session: aiohttp.ClientSession, url: str) -> Finding:
    try:
        async with session.get(f"{url}/-/ready", allow_redirects=False) as answer:
            if answer.status == 200:
                return ok("metrics", f"the Pushgateway at {url} is ready")
            text = f"{url}/-/ready answered {answer.status}"
    except (aiohttp.ClientError, OSError) as error:
        text = f"{url} does not answer: {_reason(error)}"
    return problem("metrics", f"the Pushgateway: {text}", "look at agent.pushgateway_url")


async def _remote_write(session: aiohttp.ClientSession, settings: Configuration) -> Finding:
    url = settings.agent.remote_write_url
    agent = settings.agent
    writer = RemoteWriter(
        session,
        url,
        headers=lambda: remote_write_headers(agent),
    )
    try:
        await writer.send(encode_samples([]))
    except (RefusedError, UnavailableError) as error:
        return problem(
            "metrics",
            f"remote write: {error}",
            "look at agent.remote_write_url; Prometheus needs --web.enable-remote-write-receiver",
        )
    return ok("metrics", f"{url} takes samples")
