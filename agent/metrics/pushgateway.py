"""Pushes all metrics to a Prometheus Pushgateway, for machines that a Prometheus cannot reach.

One group per machine (grouping key: job and host), replaced as a whole by each push: series that are no longer
reported, such as those of an ended launch, disappear with the next push. The group is deleted when the agent stops.

Source: https://github.com/prometheus/pushgateway#api
"""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable, Mapping
from urllib.parse import quote

import aiohttp
from prometheus_client import CollectorRegistry, Counter, generate_latest

from tracetail.contract.secret_file import SecretFileError
from tracetail.contract.system_authorities import ssl_for

log = logging.getLogger(__name__)


class PushError(Exception):
    """The Pushgateway did not accept a request; the message has its answer."""


class Pushgateway:
    """One group of one Pushgateway."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        job: str,
        host: str,
        headers: Callable[[], Mapping[str, str]] = dict,
        timeout_seconds: float = 10.0,
    ) -> None:
        """url: the gateway's base URL. headers: called before each request, because a password may be rotated."""
        self._session = session
        self._group = url.rstrip("/") + "/metrics" + _path(("job", job), ("host", host))
        self._headers = headers
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def replace(self, metrics: bytes) -> None:
        """Replace the group by these metrics, in Prometheus' text format. Raises PushError."""
        await self._request("PUT", metrics)

    async def delete(self) -> None:
        """Delete the group. Raises PushError."""
        await self._request("DELETE", b"")

    async def _request(self, method: str, body: bytes) -> None:
        try:
            headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8", **self._headers()}
            async with self._session.request(
                method,
                self._group,
                data=body,
                headers=headers,
                ssl=ssl_for(self._group),
                timeout=self._timeout,
                allow_redirects=False,
            ) as answer:
                if answer.status // 100 != 2:
                    reason = (await answer.text(errors="replace"))[:300].strip()
                    raise PushError(f"{method} {self._group} was answered {answer.status}: {reason}")
        except (aiohttp.ClientError, OSError, SecretFileError) as error:
            raise PushError(f"{method} {self._group} failed: {error or type(error).__name__}") from error


_LAST_PUSH_SECONDS = 2.0
"""How long the end waits for a push that is under way."""


async def push_regularly(gateway: Pushgateway, registry: CollectorRegistry, *, interval_seconds: float) -> None:
    """Push registry every interval until cancelled, then delete the group. A failed push is counted and logged once.

    There is no backoff beyond the interval: only the newest values count.
    """
    pushes = Counter(
        "tracetail_agent_pushgateway_pushes",
        "Pushes of all metrics to the Pushgateway, by result.",
        ["result"],
        registry=registry,
    )
    failing = False
    pushing: asyncio.Task[None] | None = None
    try:
        while True:
            metrics = await asyncio.to_thread(generate_latest, registry)
            pushing = asyncio.create_task(gateway.replace(metrics))
            try:
                await asyncio.shield(pushing)
            except PushError as error:
                pushes.labels("failed").inc()
                if not failing:
                    log.warning("%s", error)
                failing = True
            else:
                pushes.labels("ok").inc()
                if failing:
                    log.info("the Pushgateway accepts metrics again")
                failing = False
            await asyncio.sleep(interval_seconds)
    finally:
        if pushing is not None:  # if it were cancelled, the gateway might handle it after the deletion
            with contextlib.suppress(PushError, TimeoutError):
                async with asyncio.timeout(_LAST_PUSH_SECONDS):
                    await pushing
        try:
            await gateway.delete()
        except PushError as error:
            log.warning("the group is left in the Pushgateway: %s", error)


def _path(*pairs: tuple[str, str]) -> str:
    """Return the grouping key as a path; values that do not fit into one path segment are encoded as base64."""
    parts = []
    for name, value in pairs:
        if not value or "/" in value:
            encoded = base64.urlsafe_b64encode(value.encode()).decode() or "="
            parts.append(f"/{name}@base64/{encoded}")
        else:
            parts.append(f"/{name}/{quote(value, safe='')}")
    return "".join(parts)
