"""Access to the panel: tokens, scopes, origins, and requests without a secret."""

import asyncio
import contextlib
import itertools
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.panel_stream import Viewing

SECRET = "a secret of more than thirty-two bytes, for tests"
ADMIN = "an admin key for tests"
A = {
    "traceId": "trace-a",
    "instanceId": "1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "m",
    "env": "test",
    "engine": "vllm",
    "host": "h",
}
B = {**A, "traceId": "trace-b", "instanceId": "2", "launchId": "20261122T120000-bbbbbb"}
ORIGIN = "https://platform.example"


@pytest.fixture
async def guarded(loki, tmp_path, start_panel):
    for labels, text in ((A, "line of a"), (B, "line of b: top secret")):
        start = time.time_ns() - 10**9
        loki.add(labels, start, "started port=8000 pid=7", kind="event")
        loki.add(labels, start + 1, text, level="info", process="APIServer")
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "admin").write_text(ADMIN)
    settings = {
        "secret_file": str(tmp_path / "secret"),
        "admin_key_file": str(tmp_path / "admin"),
        "origins": [ORIGIN],
    }
    async with start_panel(loki.url, **settings) as started:
        yield started


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def token(traces=("trace-a",), scope="read", seconds=60, key=SECRET, algorithm="HS256", **claims):
    body = {"exp": time.time() + seconds, "traces": list(traces), "scope": scope, **claims}
    return jwt.encode(body, key, algorithm=algorithm)


ROUTES = (
    "/api/launches",
    "/api/launches/{launchId}",
    "/api/logs",
    "/api/logs/stream",
    "/api/logs/index",
    "/api/logs/search",
    "/api/logs/histogram",
    "/api/logs/facets",
    "/api/logs/stats",
    "/api/logs/download",
    "/llm/logs",
)


async def test_a_token_for_one_trace_gets_no_data_of_another_by_any_route_or_parameter(guarded):
    headers = bearer(token(scope="read download write"))
    asked = 0
    parameters = [
        {"traceId": "trace-b"},
        {"launchId": B["launchId"]},
        {"instanceId": B["instanceId"]},
        {"traceId": "trace-a", "launchId": B["launchId"]},
        {"traceId": "trace-a", "instanceId": B["instanceId"]},
        {"traceId": 'trace-a"} or {traceId="trace-b'},
        {"traceId": "trace-a|trace-b"},
        {"traceId": "trace-a", "q": '" or "'},
        {"traceId": "trace-a", "q": "a", "process": '" or traceId="trace-b'},
        {"traceId": "trace-a", "kind": '" or level="info'},
        {"traceId": "trace-a", "level": 'info" or traceId="trace-b'},
        {"traceId": "trace-a", "start": "0", "before": "9223372036854775807"},
        {},
    ]
    extra = [
        {},
        {"X-Scope-OrgID": "other"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Original-URL": "/api/logs?traceId=trace-b"},
        {"Cookie": f"token={ADMIN}"},
        {"Last-Event-ID": "eyJ0cmFjZS1iIjoiMSJ9"},
    ]
    for route, params, more in itertools.product(ROUTES, parameters, extra):
        url = guarded.url + route.format(launchId=B["launchId"])
        async with guarded.session.get(url, params=params, headers={**headers, **more}) as response:
            if response.status == 200 and route.endswith("/stream"):
                text = ""
                for _ in range(3):
                    text += (await response.content.readany()).decode()
            else:
                text = await response.text()
            assert "line of b" not in text
            assert "top secret" not in text
            assert B["launchId"] not in text.replace(f"launchId {B['launchId']}", "")
            asked += 1
    assert asked == len(ROUTES) * len(parameters) * len(extra)


async def test_a_token_gives_access_to_its_trace_by_every_route(guarded):
    headers = bearer(token(scope="read download"))
    for route in ROUTES:
        params = {"instanceId": A["instanceId"]} if route == "/llm/logs" else {"traceId": "trace-a"}
        if "{launchId}" in route:
            params = {}
        url = guarded.url + route.format(launchId=A["launchId"])
        async with guarded.session.get(url, params=params, headers=headers) as response:
            assert response.status == 200, route


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (lambda: token(key="another secret that is long enough too"), "token_invalid"),
        (lambda: token(seconds=-1), "token_expired"),
        (lambda: token(algorithm="none", key=None), "token_invalid"),
        (lambda: jwt.encode({"traces": ["trace-a"]}, SECRET), "token_invalid"),
        (lambda: jwt.encode({"exp": time.time() + 60, "traces": "trace-a"}, SECRET), "token_invalid"),
        (lambda: jwt.encode({"exp": time.time() + 60}, SECRET), "token_invalid"),
        (lambda: "nonsense", "token_invalid"),
    ],
)
async def test_an_invalid_token_is_refused(guarded, made, code):
    answer = await guarded.get("/api/logs", traceId="trace-a", headers=bearer(made()), status=401)
    assert answer["error"]["code"] == code


async def test_without_a_token_only_paths_without_log_lines_are_served(guarded):
    for route in ROUTES:
        url = guarded.url + route.format(launchId=A["launchId"])
        async with guarded.session.get(url, params={"traceId": "trace-a"}) as response:
            assert response.status == 401, route
            assert (await response.json())["error"]["code"] == "token_missing"
    for path in (
        "/healthz",
        "/panel",
        "/embed",
        "/tracetail-panel.js",
        "/openapi.json",
        "/static/component/panel-element.js",
    ):
        async with guarded.session.get(guarded.url + path) as response:
            assert response.status == 200, path


async def test_tokens_in_query_strings_and_cookies_are_ignored_and_no_cookie_is_set(guarded):
    for params, headers in (({"token": token()}, {}), ({"access_token": token()}, {}), ({}, {"Cookie": token()})):
        query = {"traceId": "trace-a", **params}
        async with guarded.session.get(guarded.url + "/api/logs", params=query, headers=headers) as response:
            assert response.status == 401
    for path in ("/panel", "/embed", "/api/logs?traceId=trace-a"):
        async with guarded.session.get(guarded.url + path, headers=bearer(token())) as response:
            assert "Set-Cookie" not in response.headers


async def test_scopes_are_separate(guarded):
    reading, writing = bearer(token(scope="read")), bearer(token(scope="write"))
    answer = await guarded.get("/api/logs/download", traceId="trace-a", headers=reading, status=403)
    assert answer["error"]["code"] == "scope_missing"
    await guarded.get("/api/logs", traceId="trace-a", headers=writing, status=403)
    body = {"model": "m", "traceId": "trace-a"}
    await guarded.post("/api/report/llm-start", body, headers=reading, status=403)
    await guarded.post("/api/report/llm-start", body, headers=writing)
    await guarded.post("/api/report/llm-start", {**body, "traceId": "trace-b"}, headers=writing, status=403)
    append = {"instanceId": A["instanceId"], "lines": ["x"]}
    await guarded.post("/api/log/append", append, headers=writing)
    await guarded.post("/api/log/append", {**append, "instanceId": B["instanceId"]}, headers=writing, status=403)
    await guarded.post("/api/log/append", {**append, "traceId": "trace-b"}, headers=writing, status=403)


async def test_a_write_token_cannot_take_an_instance_of_another_trace(loki, guarded):
    writing = bearer(token(scope="write"))
    before = len(loki.entries)
    append = {"instanceId": B["instanceId"], "traceId": "trace-a", "lines": ["not of this run"]}
    answer = await guarded.post("/api/log/append", append, headers=writing, status=403)
    assert answer["error"]["code"] == "instance_of_another_trace"
    report = {"model": "m", "traceId": "trace-a", "instanceId": B["instanceId"], "event": "crashed"}
    await guarded.post("/api/report/llm-start", report, headers=writing, status=403)
    assert len(loki.entries) == before

    # Without a launch the first claim holds, whoever posts later and under whichever time.
    admin = bearer(ADMIN)
    await guarded.post("/api/log/append", {"instanceId": "9", "traceId": "trace-b", "lines": ["x"]}, headers=admin)
    claim = {"instanceId": "9", "traceId": "trace-a", "lines": ["y"], "timestamp": 1000}
    await guarded.post("/api/log/append", claim, headers=writing, status=403)
    await guarded.post("/api/log/append", claim, headers=admin, status=403)
    assert [line["text"] for line in (await guarded.get("/api/logs", instanceId="9", headers=admin))["lines"]] == [
        "x"
    ]


async def test_two_claims_of_an_instance_at_once_give_it_one_trace(guarded):
    posts = [{"instanceId": "77", "traceId": f"trace-{i}", "lines": ["x"]} for i in range(8)]

    async def post(body):
        async with guarded.session.post(
            guarded.url + "/api/log/append", json=body, headers=bearer(ADMIN)
        ) as response:
            return response.status

    assert sorted(await asyncio.gather(*map(post, posts))) == [200, *[403] * 7]


async def test_an_instance_that_was_claimed_before_its_launch_belongs_to_the_launch(loki, guarded):
    admin = bearer(ADMIN)
    await guarded.post(
        "/api/log/append", {"instanceId": "5", "traceId": "trace-a", "lines": ["claim"]}, headers=admin
    )
    launched = {**B, "instanceId": "5", "launchId": "20261122T130000-cccccc"}
    loki.add(launched, time.time_ns(), "of the launch")

    shown = await guarded.get("/api/logs", instanceId="5", headers=admin)
    assert shown["lines"][-1]["text"] == "of the launch"
    post = {"instanceId": "5", "lines": ["more"]}
    assert (await guarded.post("/api/log/append", post, headers=admin))["traceId"] == "trace-b"


async def test_a_thousand_models_make_few_streams_and_a_cursor_that_is_accepted(loki, guarded):
    writing = bearer(token(scope="write"))

    async def post(number):
        report = {"model": f"model-{number}", "env": f"env-{number}", "traceId": "trace-a", "event": "ready"}
        await guarded.post("/api/report/llm-start", report, headers=writing)

    await asyncio.gather(*map(post, range(300)))

    streams = {frozenset(labels.items()) for _, labels, _, _ in loki.entries}
    assert len(streams) <= 2 + 21
    page = await guarded.get("/api/logs", traceId="trace-a", limit=1000, headers=bearer(token()))
    assert sum("model=model-" in line["text"] for line in page["lines"]) == 300
    headers = bearer(token())
    async with Viewing(guarded.session, guarded.url, "trace-a", cursor=page["cursor"], headers=headers) as viewing:
        await viewing.until(lambda v: v.status is not None)
        assert viewing.status == 200


async def test_a_trace_gets_a_bounded_number_of_streams_by_posts(loki, guarded):
    writing = bearer(token(scope="write"))
    statuses = []
    for number in range(105):
        body = {"instanceId": f"run-{number}", "traceId": "trace-a", "lines": ["x"]}
        async with guarded.session.post(guarded.url + "/api/log/append", json=body, headers=writing) as response:
            statuses.append(response.status)
    assert statuses == [200] * 100 + [429] * 5
    again = {"instanceId": "run-3", "traceId": "trace-a", "lines": ["y"]}
    await guarded.post("/api/log/append", again, headers=writing)


async def test_minting_a_token_needs_the_admin_key(guarded):
    wanted = {"traces": ["trace-a"], "scopes": ["read"], "seconds": 30}
    assert (await guarded.post("/api/tokens", wanted, status=401))["error"]["code"] == "token_missing"
    await guarded.post("/api/tokens", wanted, headers=bearer(token(["*"], "read download write")), status=403)
    answer = await guarded.post("/api/tokens", wanted, headers=bearer(ADMIN), status=201)
    assert (await guarded.get("/api/logs", traceId="trace-a", headers=bearer(answer["token"])))["lines"]
    await guarded.get("/api/logs", traceId="trace-b", headers=bearer(answer["token"]), status=403)
    bad = {**wanted, "traces": ['a"b']}
    assert (await guarded.post("/api/tokens", bad, headers=bearer(ADMIN), status=400))["error"]["code"] == "bad_body"


async def test_the_list_of_launches_is_limited_to_the_traces_of_the_token(guarded):
    found = (await guarded.get("/api/launches", headers=bearer(token())))["launches"]
    assert [launch["traceId"] for launch in found] == ["trace-a"]
    found = (await guarded.get("/api/launches", headers=bearer(token(["*"]))))["launches"]
    assert {launch["traceId"] for launch in found} == {"trace-a", "trace-b"}


async def test_an_expired_token_ends_the_stream_and_a_new_one_resumes_it(loki, guarded):
    for seconds in (2.0, 10.0, 40.0):  # a longer one, where a busy machine was too slow to show a line in time
        headers = bearer(token(seconds=seconds))
        async with Viewing(guarded.session, guarded.url, "trace-a", headers=headers) as viewing:
            await viewing.until(lambda v: v.ended)
        if viewing.lines:
            break
    assert viewing.named("token-expired")
    assert viewing.texts[-1] == "line of a"
    cursor = viewing.cursor
    loki.add(A, time.time_ns(), "after the token")
    async with Viewing(guarded.session, guarded.url, "trace-a", cursor=cursor, headers=bearer(token())) as viewing:
        await viewing.until(lambda v: v.lines)
        assert viewing.texts == ["after the token"]


async def test_a_platform_can_sign_with_its_own_key_pair(loki, tmp_path, start_panel):
    loki.add(A, time.time_ns(), "x")
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (tmp_path / "public.pem").write_bytes(public)
    async with start_panel(loki.url, public_key_file=str(tmp_path / "public.pem")) as panel:
        headers = bearer(token(key=private, algorithm="EdDSA"))
        assert (await panel.get("/api/logs", traceId="trace-a", headers=headers))["lines"]
        forged = bearer(jwt.encode({"exp": time.time() + 60, "traces": ["*"]}, SECRET, algorithm="HS256"))
        await panel.get("/api/logs", traceId="trace-a", headers=forged, status=401)


async def test_a_replaced_secret_is_used_at_once_and_an_unusable_file_is_ignored(guarded, tmp_path):
    fresh = "another secret of more than thirty-two bytes"
    (tmp_path / "secret.new").write_text(fresh)
    (tmp_path / "secret.new").replace(tmp_path / "secret")
    await guarded.get("/api/logs", traceId="trace-a", headers=bearer(token()), status=401)
    assert (await guarded.get("/api/logs", traceId="trace-a", headers=bearer(token(key=fresh))))["lines"]
    (tmp_path / "secret").write_text("short")
    (tmp_path / "admin").unlink()
    await guarded.get("/api/logs", traceId="trace-a", status=401)
    assert (await guarded.get("/api/logs", traceId="trace-a", headers=bearer(token(key=fresh))))["lines"]
    assert (await guarded.get("/api/logs", traceId="trace-a", headers=bearer(ADMIN)))["lines"]


async def test_only_configured_origins_are_allowed(guarded):
    mine = {**bearer(token()), "Origin": ORIGIN}
    async with guarded.session.get(guarded.url + "/api/logs?traceId=trace-a", headers=mine) as response:
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
    async with guarded.session.get(guarded.url + "/api/logs/stream?traceId=trace-a", headers=mine) as response:
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    other = {**bearer(token()), "Origin": "https://evil.example"}
    async with guarded.session.get(guarded.url + "/api/logs?traceId=trace-a", headers=other) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers
    bound = {**bearer(token(origin="https://elsewhere.example")), "Origin": ORIGIN}
    assert (await guarded.get("/api/logs", traceId="trace-a", headers=bound, status=403))["error"]["code"] == (
        "origin_not_allowed"
    )
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET"}
    async with guarded.session.options(guarded.url + "/api/logs", headers=preflight) as response:
        assert response.status == 204
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]


async def test_pages_may_be_framed_by_configured_origins_and_have_no_inline_script(guarded):
    async with guarded.session.get(guarded.url + "/embed") as response:
        policy = response.headers["Content-Security-Policy"]
        assert f"frame-ancestors 'self' {ORIGIN}" in policy
        assert "unsafe-inline" not in policy
        assert "<script>" not in await response.text()


async def test_without_a_secret_only_requests_of_this_machine_are_served(loki, panel):
    await panel.get("/api/launches")
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "1.2.3.4"}, {"Forwarded": "for=1.2.3.4"}):
        answer = await panel.get("/api/launches", headers=headers, status=403)
        assert answer["error"]["code"] == "local_only"


async def test_a_closed_stream_is_not_counted_as_a_viewer(loki, panel):
    loki.add(A, time.time_ns(), "x")
    async with Viewing(panel.session, panel.url, "trace-a") as viewing:
        await viewing.until(lambda v: v.lines)
        assert panel.server.feeds.viewers == 1
    async with asyncio.timeout(60):
        while panel.server.feeds.viewers:  # noqa: ASYNC110  (what is waited for happens in the server)
            await asyncio.sleep(0.01)


async def test_one_token_cannot_shut_all_others_out(loki, tmp_path, start_panel):
    loki.add(A, time.time_ns(), "of a")
    loki.add(B, time.time_ns(), "of b")
    (tmp_path / "secret").write_text(SECRET)
    settings = {"secret_file": str(tmp_path / "secret"), "viewers": 20, "viewers_per_token": 4}
    async with start_panel(loki.url, **settings) as panel, contextlib.AsyncExitStack() as open_streams:

        async def status(headers, trace_id="trace-a"):
            viewing = Viewing(panel.session, panel.url, trace_id, headers=headers)
            await open_streams.enter_async_context(viewing)
            await viewing.until(lambda v: v.status is not None)
            return viewing.status

        one = bearer(token())
        assert [await status(one) for _ in range(6)] == [200] * 4 + [503] * 2
        others = [bearer(token(number=number)) for number in range(9)]
        assert [await status(headers) for headers in others] == [200] * 6 + [503] * 3
        assert await status(bearer(token(["trace-b"])), "trace-b") == 200
