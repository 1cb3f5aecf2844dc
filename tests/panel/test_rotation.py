"""The panel uses rotated secrets without a restart: its own, and the token for Loki."""

import time

import jwt
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
