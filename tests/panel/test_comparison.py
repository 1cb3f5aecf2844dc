"""A failed launch beside the last time that its service was ready: what differs."""

import time

from support.trace_lines import LABELS

from tracetail.panel.trace.comparison import arguments_of, compare_launches, versions_in

SECOND = 10**9
READY = {**LABELS, "launchId": "20261121T120000-aaaaaa", "host": "gpu-07"}
FAILED = {**READY, "traceId": "t3", "launchId": "20261122T120000-cccccc", "host": "gpu-08"}

# The lines as the programs print them: tests/data/field-starts, 04 (vLLM 0.6.6), 01 (0.7.1), engine-logs/healthy-tp4
# (0.32), field-starts of MindIE 2.2 and of NCCL in vLLM.
VERSION_LINES = {
    "INFO 01-14 10:01:20 llm_engine.py:234] Initializing an LLM engine (v0.6.6.post1) with config: model='/m'": (
        "vLLM",
        "0.6.6.post1",
    ),
    "INFO 03-05 07:14:10 api_server.py:912] vLLM API server version 0.7.1": ("vLLM", "0.7.1"),
    "(APIServer pid=4984) INFO 11-26 15:08:03 [api_utils.py:347]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0": (
        "vLLM",
        "0.32.0",
    ),
    "INFO 06-06 09:51:33 [pynccl.py:70] vLLM is using nccl==2.26.2": ("NCCL", "2.26.2"),
    "Start mindie server, version 2.2.RC1": ("MindIE", "2.2.RC1"),
}


def add(loki, labels, *lines, hours_ago):
    start = time.time_ns() - hours_ago * 3600 * SECOND
    for index, (text, kind) in enumerate(lines):
        loki.add(labels, start + index * SECOND, text, level="info", **({"kind": kind} if kind else {}))


def add_history(loki):
    """A launch that was ready, one that was refused, one of another environment, and the one that failed."""
    add(
        loki,
        READY,
        ('started port=8000 command="vllm serve /m --max-model-len 4096 --dtype=bfloat16"', "event"),
        ("INFO [core.py:133] Initializing a V1 LLM engine (v0.31.0) with config: model='/m'", ""),
        ('phase name="weights loaded" seconds=20', "event"),
        ('phase name="graphs captured" seconds=9.5', "event"),
        ("ready seconds=30", "event"),
        ("exited state=stopped seconds=99", "event"),
        hours_ago=24,
    )
    refused = {**READY, "traceId": "t2", "launchId": "20261121T130000-bbbbbb"}
    add(loki, refused, ('refused exitStatus=15 cause="no such path"', "event"), hours_ago=23)
    other_env = {**READY, "traceId": "t9", "env": "prod", "launchId": "20261121T140000-bbbbbb"}
    add(loki, other_env, ("started port=1", "event"), ("ready seconds=1", "event"), hours_ago=22)
    add(
        loki,
        FAILED,
        ('started port=8000 command="vllm serve /m --max_model_len=131072 --enforce-eager"', "event"),
        ("INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='/m'", ""),
        ('phase name="weights loaded" seconds=61', "event"),
        ('exited state=failed seconds=70 exitCode=1 cause="CUDA out of memory"', "event"),
        hours_ago=1,
    )


async def test_a_failed_launch_is_compared_with_the_last_one_that_was_ready(loki, panel):
    add_history(loki)
    found = await panel.get(f"/api/launches/{FAILED['launchId']}/comparison")
    assert (found["launch"]["launchId"], found["other"]["launchId"]) == (FAILED["launchId"], READY["launchId"])
    assert found["arguments"] == [
        {"name": "--max-model-len", "launch": "131072", "other": "4096"},
        {"name": "--dtype", "other": "bfloat16"},
        {"name": "--enforce-eager", "launch": ""},
    ]
    assert found["versions"] == [{"name": "vLLM", "launch": "0.32.0", "other": "0.31.0"}]
    assert found["places"] == [{"name": "host", "launch": "gpu-08", "other": "gpu-07"}]
    assert found["phases"] == [
        {"name": "weights loaded", "launch": 61, "other": 20},
        {"name": "graphs captured", "other": 9.5},
    ]
    first = await panel.get(f"/api/launches/{READY['launchId']}/comparison")
    assert "other" not in first, "nothing was ready before"
    other = await panel.get(f"/api/launches/{READY['launchId']}/comparison", other=FAILED["launchId"])
    assert other["arguments"][-1] == {"name": "--dtype", "launch": "bfloat16"}


async def test_the_last_time_that_it_was_ready_is_found_for_several_launches_at_once(loki, panel):
    add_history(loki)
    refused = "20261121T130000-bbbbbb"
    ids = (FAILED["launchId"], refused, READY["launchId"], "20261121T120000-ffffff", "nonsense")
    found = (await panel.get("/api/launches/last-ready", of=",".join(ids)))["launches"]
    assert {one: ready["launchId"] for one, ready in found.items()} == dict.fromkeys(ids[:2], READY["launchId"])


async def test_a_token_of_one_trace_is_not_shown_another_one(loki, start_panel, tmp_path):
    add_history(loki)
    secret, admin = tmp_path / "secret", tmp_path / "admin"
    secret.write_text("s" * 40)
    admin.write_text("a" * 40)
    async with start_panel(loki.url, secret_file=str(secret), admin_key_file=str(admin)) as panel:

        async def answer_for(*traces, path):
            headers = {"Authorization": f"Bearer {'a' * 40}"}
            body = {"traces": list(traces)}
            token = (await panel.post("/api/tokens", body, status=201, headers=headers))["token"]
            headers = {"Authorization": f"Bearer {token}"}
            return await panel.get(path, headers=headers)

        comparison = f"/api/launches/{FAILED['launchId']}/comparison"
        assert "other" not in await answer_for("t3", path=comparison)
        assert (await answer_for("t3", "t1", path=comparison))["other"]["traceId"] == "t1"
        last_ready = f"/api/launches/last-ready?of={FAILED['launchId']}"
        assert await answer_for("t3", path=last_ready) == await answer_for("t1", path=last_ready) == {"launches": {}}
        assert (await answer_for("t3", "t1", path=last_ready))["launches"][FAILED["launchId"]]["traceId"] == "t1"


def test_versions_are_read_from_the_lines_that_engines_print():
    for line, (program, version) in VERSION_LINES.items():
        assert versions_in([line]) == {program: version}
    assert versions_in(["(APIServer pid=1) INFO Route: /version, Methods: GET"]) == {}


def test_arguments_are_the_same_however_they_are_written():
    one = arguments_of("python -m sglang.launch_server --model-path=/m --tp_size 2 --lora-paths a b --temperature -1")
    other = arguments_of(
        "python -m sglang.launch_server --temperature=-1 --model-path /m --lora-paths a b --tp-size=2"
    )
    assert one == other
    assert one["--lora-paths"] == "a b"
    assert arguments_of("vllm serve 'a model' --served-name \"unfinished") == {
        "command": "vllm serve 'a model'",
        "--served-name": '"unfinished',
    }
    assert compare_launches({"command": "a --x 1"}, {"command": "a --x=1"})["arguments"] == []
