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
from tracetail.cli.language import both
from tracetail.contract.http_headers import bearer
from tracetail.contract.http_settings import HttpSettingsError
from tracetail.contract.labels import ENV, HOST, LAUNCH_ID, LAUNCH_LABELS, METADATA_LEVEL
from tracetail.contract.port_owner import StrangerError
from tracetail.contract.secret_file import read_secret
from tracetail.loki import entries, logql
from tracetail.loki.answers import PushAnswer
from tracetail.loki.client import LokiClient
from tracetail.loki.errors import LokiError, LokiUnavailableError
from tracetail.loki.local_connector import LocalConnector
from tracetail.loki.push import single_body
from tracetail.loki.settings import LokiSettings

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
    except HttpSettingsError as error:
        yield problem("loki", str(error), both("correct the setting", "请更正这个设置"))


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
    seconds, is_ahead = f"{abs(ahead_seconds):.0f}", ahead_seconds > 0
    english = f"this machine's clock is {seconds} s {'ahead of' if is_ahead else 'behind'} Loki's"
    off = both(english, f"本机时钟比 Loki {'快' if is_ahead else '慢'} {seconds} 秒")
    advice = both("switch NTP on: chrony or systemd-timesyncd", "请启用 NTP：chrony 或 systemd-timesyncd")
    if abs(ahead_seconds) > CLOCK_PROBLEM_SECONDS:
        text = both(
            f"{off}: lines will be refused or found at the wrong time", f"{off}：日志行会被拒收，或出现在错误的时间"
        )
        return problem("clock", text, advice)
    if abs(ahead_seconds) > CLOCK_WARNING_SECONDS:
        return warning("clock", off, advice)
    return ok("clock", both("agrees with Loki's", "与 Loki 一致"))


def _how_to_reach(settings: Configuration) -> str:
    if settings.loki.url.rstrip("/") == store_url(settings.store):
        return both(
            "start the embedded store (tracetail store, or tracetail up), or set loki.url to your Loki",
            "请启动内置的存储（tracetail store 或 tracetail up），或把 loki.url 设为你的 Loki",
        )
    return both(
        "look at loki.url, loki.proxy and loki.ca_file, and whether Loki runs",
        "请检查 loki.url、loki.proxy 和 loki.ca_file，以及 Loki 是否在运行",
    )


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
        text = both(f"a push was not answered: {error}", f"写入没有得到应答：{error}")
        advice = both("look at loki.url and what is in front of Loki", "请检查 loki.url 和 Loki 前面的代理")
        yield problem("loki", text, advice)
        return
    if answer.status != 204:
        yield _refused_push(answer)
        return
    query = f"{logql.selector(labels)} |= {logql.quote(text)}"
    begin = time.monotonic()
    try:
        while not (found := await client.all_entries(query, now, now + 1)):
            if time.monotonic() - begin > READ_BACK_SECONDS:
                limit = f"{READ_BACK_SECONDS:.0f}"
                yield problem(
                    "loki",
                    both(
                        f"a line that was pushed to {loki.url} was not found within {limit} s",
                        f"写入 {loki.url} 的一行在 {limit} 秒内没有查到",
                    ),
                    both(
                        "check that reading goes to the same Loki and tenant as writing (loki.tenant)",
                        "请检查读和写是否用同一个 Loki 和租户（loki.tenant）",
                    ),
                )
                return
            await asyncio.sleep(0.1)
    except LokiError as error:
        if error.status is None:
            text = both(f"a query was not answered: {error}", f"查询没有得到应答：{error}")
            yield problem("loki", text, both("look at what is in front of Loki", "请检查 Loki 前面的代理"))
        else:
            advice = "panel, logs and the agent's restart need to read"
            text = both(f"reading is refused: {error}", f"读取被拒绝：{error}")
            yield problem("loki", text, both(advice, "面板、logs 命令和 agent 重启都需要读取权限"))
        return
    seconds = f"{time.monotonic() - begin:.1f}"
    english = f"a line was pushed to {loki.url} and read back after {seconds} s"
    yield ok("loki", both(english, f"向 {loki.url} 写入一行，{seconds} 秒后读回"))
    if loki.structured_metadata and found[0].labels.get(METADATA_LEVEL) != "info":
        yield warning(
            "loki",
            both(
                "structured metadata did not come back: levels cannot be filtered by",
                "结构化元数据没有读回来：无法按级别过滤",
            ),
            both(
                "switch allow_structured_metadata on in Loki (schema v13), or set loki.structured_metadata = false",
                "请在 Loki 中打开 allow_structured_metadata（schema v13），或设置 loki.structured_metadata = false",
            ),
        )


def _refused_push(answer: PushAnswer) -> Finding:
    reason = answer.text[:200]
    text = both(f"a push was answered {answer.status}: {reason}", f"写入时返回 {answer.status}：{reason}")
    return problem("loki", text, _how_to_be_accepted(answer))


def _how_to_be_accepted(answer: PushAnswer) -> str:
    if "structured metadata" in answer.text:
        return both(
            "switch allow_structured_metadata on in Loki, or set loki.structured_metadata = false",
            "请在 Loki 中打开 allow_structured_metadata，或设置 loki.structured_metadata = false",
        )
    if answer.status in (401, 403):
        return both(
            "look at loki.bearer_token_file, loki.username, loki.tenant",
            "请检查 loki.bearer_token_file、loki.username、loki.tenant",
        )
    if answer.status == 404:
        return both(
            "loki.url must be the base address, without /loki/api/v1/push",
            "loki.url 必须是基础地址，不带 /loki/api/v1/push",
        )
    if "label" in answer.text:
        return both(
            "raise the limits of labels in Loki (max_label_names_per_series): every line is refused",
            "请调大 Loki 的标签上限（max_label_names_per_series）：目前每一行都会被拒收",
        )
    return both("look at Loki's limits and log", "请查看 Loki 的限制和日志")


async def check_parts(settings: Configuration) -> AsyncIterator[Finding]:
    """Check that agent and panel answer and work."""
    secret = secret_file("agent", settings)
    connector = LocalConnector(secret, limit=0) if secret else None
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session:
        yield await _agent(session, settings, secret)
        yield await _panel(session, settings)


async def _agent(session: aiohttp.ClientSession, settings: Configuration, secret: str) -> Finding:
    address = f"http://{settings.agent.listen}"
    not_running = both(
        "start it: systemctl start tracetail-agent, tracetail agent, or tracetail up",
        "请启动它：systemctl start tracetail-agent、tracetail agent 或 tracetail up",
    )
    stranger = both("is another program at agent.listen?", "agent.listen 的地址上是别的程序吗？")
    try:
        headers = bearer(read_secret("agent.secret_file", secret)) if secret else {}
        async with session.get(f"{address}/status", headers=headers, allow_redirects=False) as answer:
            if answer.status != 200:
                text = (await answer.text())[:200]
                english = f"{address} answered {answer.status}: {text}"
                return problem("agent", both(english, f"{address} 返回 {answer.status}：{text}"), stranger)
            status = await answer.json(content_type=None)
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, StrangerError):
            return problem("agent", str(error.os_error), stranger)
        english = f"no agent answers at {address}: nothing is shipped"
        return warning("agent", both(english, f"{address} 没有 agent 应答：日志没有上传"), not_running)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return problem("agent", both(f"{address} did not answer: {error}", f"{address} 没有应答：{error}"), stranger)
    if not status["healthy"]:
        reason = status["error"]
        advice = both(
            "nothing is lost; see the findings about Loki, Kafka and OTLP",
            "日志没有丢失；请看 Loki、Kafka 和 OTLP 的结果",
        )
        return problem("agent", both(f"it cannot ship: {reason}", f"无法上传：{reason}"), advice)
    backlog = sum(source["backlogBytes"] for source in status["sources"])
    # An agent of an earlier version has one output, and does not list it.
    outputs = status.get("outputs", [{"target": status["loki"], "backlogBytes": backlog}])
    backlog = max(output["backlogBytes"] for output in outputs)
    rejected = sum(source["rejected"] for source in status["sources"])
    if backlog > LAG_WARNING_BYTES:
        waiting = backlog >> 20
        advice = both("look at Loki's limits and the agent's log", "请查看 Loki 的限制和 agent 的日志")
        return warning("agent", both(f"{waiting} MiB wait to be shipped", f"有 {waiting} MiB 等待上传"), advice)
    if rejected:
        advice = both("see which and why: tracetail agent rejected", "查看是哪些行、为什么：tracetail agent rejected")
        return warning("agent", both(f"Loki refused {rejected} lines", f"Loki 拒收了 {rejected} 行"), advice)
    number, targets = len(status["sources"]), [output["target"] for output in outputs]
    english = f"ships {number} logs to {' and to '.join(targets)}"
    return ok("agent", both(english, f"正在把 {number} 个日志上传到 {'、'.join(targets)}"))


async def _panel(session: aiohttp.ClientSession, settings: Configuration) -> Finding:
    address = f"http://{settings.panel.listen}"
    stranger = both("is another program at panel.listen?", "panel.listen 的地址上是别的程序吗？")
    try:
        async with session.get(f"{address}/healthz", allow_redirects=False) as answer:
            if answer.status == 200:
                return ok("panel", both(f"answers at {address}", f"在 {address} 应答"))
            if answer.status == 503:
                text = both("it cannot read from Loki", "它无法从 Loki 读取")
                return problem("panel", text, both("see the finding about Loki", "请看 Loki 一项的结果"))
            text = both(f"{address} answered {answer.status}", f"{address} 返回 {answer.status}")
            return problem("panel", text, stranger)
    except aiohttp.ClientConnectorError:
        text = both(f"no panel answers at {address}", f"{address} 没有面板应答")
        return warning("panel", text, both("start it, if it is to run on this machine", "如果它该在本机运行，请启动"))
    except (aiohttp.ClientError, OSError) as error:
        return problem("panel", both(f"{address} did not answer: {error}", f"{address} 没有应答：{error}"), stranger)


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
                return ok("metrics", both(f"the Pushgateway at {url} is ready", f"{url} 的 Pushgateway 已就绪"))
            text = both(f"{url}/-/ready answered {answer.status}", f"{url}/-/ready 返回 {answer.status}")
    except (aiohttp.ClientError, OSError) as error:
        reason = _reason(error)
        text = both(f"{url} does not answer: {reason}", f"{url} 没有应答：{reason}")
    advice = both("look at agent.pushgateway_url", "请检查 agent.pushgateway_url")
    return problem("metrics", f"Pushgateway: {text}", advice)


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
            both(
                "look at agent.remote_write_url; Prometheus needs --web.enable-remote-write-receiver",
                "请检查 agent.remote_write_url；Prometheus 需要 --web.enable-remote-write-receiver",
            ),
        )
    return ok("metrics", both(f"{url} takes samples", f"{url} 接收样本"))
