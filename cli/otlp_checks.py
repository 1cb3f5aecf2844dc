"""The check of `tracetail doctor` on the OTLP receiver: address, TLS, credentials, by a request without lines."""

from collections.abc import AsyncIterator

import msgspec

from tracetail.cli.configuration import Configuration
from tracetail.cli.findings import Finding, ok, problem
from tracetail.cli.language import both
from tracetail.cli.refusals import said
from tracetail.contract.http_settings import HttpSettingsError

_SECONDS = 10.0
_PLACE = "otlp"


async def check_otlp(settings: Configuration) -> AsyncIterator[Finding]:
    """Check that the receiver takes requests, without sending a line."""
    if not settings.otlp.is_set:
        return
    otlp = msgspec.structs.replace(settings.otlp, timeout_seconds=_SECONDS)
    try:
        otlp.check_client()
    except HttpSettingsError as error:
        yield problem(_PLACE, said(error), both("correct the setting", "请更正这个设置"))
        return
    # They import the messages, which are an extra of the package.
    from tracetail.agent.shipping.otlp_answers import Verdict, setting_for, verdict
    from tracetail.agent.shipping.otlp_client import OtlpClient, ReceiverUnavailableError
    from tracetail.agent.shipping.otlp_records import request_of

    try:
        async with OtlpClient(otlp) as client:
            answer = await client.export(request_of({}, []))
    except ReceiverUnavailableError as error:
        yield problem(
            _PLACE,
            said(error),
            both(
                "look at otlp.endpoint; OTLP/HTTP is usually at port 4318, 4317 is that of gRPC",
                "请检查 otlp.endpoint；OTLP/HTTP 的端口通常是 4318，4317 是 gRPC 的",
            ),
        )
        return
    if verdict(answer) is Verdict.DELIVERED:
        yield ok(_PLACE, both(f"{otlp.url} takes OTLP requests", f"{otlp.url} 接收 OTLP 请求"))
        return
    text = answer.text[:200]
    yield problem(
        _PLACE,
        both(f"{otlp.url} answered {answer.status}: {text}", f"{otlp.url} 返回 {answer.status}：{text}"),
        both(f"look at {setting_for(answer.status)}", f"请检查 {setting_for(answer.status)}"),
    )
