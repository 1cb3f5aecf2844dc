"""The panel uses rotated secrets without a restart: its own, and the token for Loki."""

import json
import time

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer


async def test_a_rotated_secret_of_tokens_is_used_at_once(loki, start_panel, tmp_path):
    secret = tmp_path / "secret"
    old, new = "old" * 20, "new" * 20
    secret.write_text(old)

    def bearer(key):
        claims = {"exp": time.time() + 60, "traces": ["t1"], "scope": "read"}
        return {"Authorization": f"Bearer {jwt.encode(claims, key, algorithm='HS256')}"}

    async with start_panel(loki.url, secret_file=str(secret)) as panel:
        await panel.get("/api/launches", traceId="t1", headers=bearer(old))
        secret.write_text(new)
        await panel.get("/api/launches", traceId="t1", headers=bearer(new))
        await panel.get("/api/launches", traceId="t1", headers=bearer(old), status=401)
        secret.write_text("too short")
        await panel.get("/api/launches", traceId="t1", headers=bearer(new))


async def test_a_rotated_token_for_loki_is_used_at_once(start_panel, tmp_path):
    token = tmp_path / "token"
    token.write_text("old\n")

    async def series(request):
        accepted = request.headers.get("Authorization") == "Bearer new"
        return web.json_response({"status": "success"}, status=200 if accepted else 401)

    app = web.Application()
    app.router.add_get("/loki/api/v1/series", series)
    async with (
        TestServer(app) as server,
        start_panel(str(server.make_url("/")), bearer_token_file=str(token)) as panel,
    ):
        answer = await panel.get("/api/launches", traceId="t1", status=502)
        assert "Loki answered 401" in answer["error"]["message"]
        token.write_text("new\n")
        assert await panel.get("/api/launches", traceId="t1") == {"launches": []}


async def test_a_live_stream_ends_when_the_secret_of_its_token_is_rotated(loki, start_panel, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("old" * 20)
    loki.add({"traceId": "t1", "launchId": "l1", "instanceId": "i1"}, time.time_ns(), "a line")
    claims = {"exp": time.time() + 600, "traces": ["t1"], "scope": "read"}
    headers = {"Authorization": f"Bearer {jwt.encode(claims, 'old' * 20, algorithm='HS256')}"}
    async with (
        start_panel(loki.url, secret_file=str(secret), heartbeat_seconds=0.1) as panel,
        panel.session.get(f"{panel.url}/api/logs/stream?traceId=t1", headers=headers) as stream,
    ):
        await stream.content.readuntil(b"a line")
        secret.write_text("new" * 20)
        assert b"event: token-expired" in await stream.content.read()


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("ahead", "status"), [(30, 200), (120, 401), ("soon", 401)])
async def test_a_token_may_begin_a_minute_ahead_of_this_clock(loki, start_panel, tmp_path, claim, ahead, status):
    secret = tmp_path / "secret"
    secret.write_text("key" * 20)
    begin = ahead if isinstance(ahead, str) else time.time() + ahead
    claims = {"exp": time.time() + 600, "traces": ["t1"], claim: begin}
    # As another library signs it: PyJWT itself would refuse some of these.
    signer = jwt.PyJWS()
    token = signer.encode(json.dumps(claims).encode(), "key" * 20, algorithm="HS256")
    async with start_panel(loki.url, secret_file=str(secret)) as panel:
        headers = {"Authorization": f"Bearer {token}"}
        await panel.get("/api/launches", traceId="t1", headers=headers, status=status)


async def test_the_leeway_is_not_for_the_expiry(loki, start_panel, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("key" * 20)
    token = jwt.encode({"exp": time.time() - 5, "traces": ["t1"]}, "key" * 20, algorithm="HS256")
    async with start_panel(loki.url, secret_file=str(secret)) as panel:
        await panel.get("/api/launches", traceId="t1", headers={"Authorization": f"Bearer {token}"}, status=401)
