"""The API conforms to /openapi.json, for valid and for invalid requests."""

import asyncio
import sys
import time

import pytest

SECRET = "a secret of more than thirty-two bytes, for tests"
ADMIN = "an admin key for tests"
A = {
    "traceId": "t1",
    "instanceId": "i1",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "m",
    "env": "test",
    "engine": "vllm",
    "host": "h",
}
BODIES = {
    "/api/tokens": {"traces": ["t1"]},
    "/api/report/llm-start": {"model": "m", "port": 1, "pid": 2, "log_file": "/x", "traceId": "t1"},
    "/api/log/append": {"instanceId": "i1", "lines": ["a"]},
}


@pytest.fixture
async def guarded(loki, tmp_path, start_panel):
    loki.add(A, time.time_ns() - 5, "started port=1", kind="event")
    loki.add(A, time.time_ns(), "INFO a line", level="info")
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "admin").write_text(ADMIN)
    async with start_panel(
        loki.url, secret_file=str(tmp_path / "secret"), admin_key_file=str(tmp_path / "admin")
    ) as started:
        yield started


async def test_every_operation_answers_a_valid_request_with_2xx(guarded):
    document = await guarded.get("/openapi.json")
    answered = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            names = {p["name"] for p in operation.get("parameters", []) if p["in"] == "query"}
            params = {"traceId": "t1"} if "traceId" in names else {}
            if path == "/llm/logs":
                params["instanceId"] = "i1"
            elif "q" in names:
                params["q"] = "line"
            body = (
                {**BODIES[path], "timestamp": time.time_ns() // 10**6}
                if path.endswith("append")
                else BODIES.get(path)
            )
            async with guarded.session.request(
                method,
                guarded.url + path.format(launchId=A["launchId"]),
                params=params,
                json=body,
                headers={"Authorization": f"Bearer {ADMIN}"},
            ) as response:
                assert 200 <= response.status < 300, (path, await response.text())
                assert str(response.status) in operation["responses"]
                assert response.content_type in operation["responses"][str(response.status)]["content"]
                answered.add((method, path))
    assert len(answered) == sum(len(operations) for operations in document["paths"].values())


async def test_schemathesis_finds_no_answer_that_contradicts_the_description(guarded, tmp_path):
    # A stream has no end: only its first event is checked.
    (tmp_path / "schemathesis.toml").write_text("max-stream-events = 1\n")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{guarded.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {ADMIN}"),
        *(
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ),
        *("--phases", "examples,fuzzing", "--max-examples", "20", "--seed", "2", "--generation-database", "none"),
        cwd=tmp_path,  # it writes files there
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output[-4000:]
    watched = await guarded.session.get(f"{guarded.url}/metrics")
    assert 'route="/api/logs/stream",status="200"' in await watched.text()
