"""The state of launches, computed from their events."""

import time

LABELS = {
    "traceId": "t1",
    "instanceId": "1008611",
    "launchId": "20261122T120000-aaaaaa",
    "service_name": "Qwen/Qwen2-7B",
    "env": "test",
    "engine": "vllm",
    "host": "gpu-07",
}


def add_events(loki, *events, labels=LABELS, start=None):
    start = start or time.time_ns() - 10**10
    for index, text in enumerate(events):
        loki.add(labels, start + index * 10**6, text, kind="event", level="info")


async def test_the_state_of_a_launch_is_computed_from_its_events(loki, panel):
    add_events(
        loki,
        'started service=test/Qwen port=8000 pid=71 jobId=3 command="vllm serve"',
        "phase name=imports seconds=18.2",
        'phase name="load weights" seconds=20',
        "ready seconds=55.2 pid=71 port=8000 url=http://gpu-07:8000",
        'exited state=crashed seconds=300 exitCode=0 cause="the engine died" hint=look evidence="one\\ntwo"',
    )
    (launch,) = (await panel.get("/api/launches", traceId="t1"))["launches"]
    assert launch["state"] == "crashed"
    assert launch["modelName"] == "Qwen/Qwen2-7B"
    assert [phase["name"] for phase in launch["phases"]] == ["imports", "load weights"]
    assert launch["readySeconds"] == 55.2
    assert launch["exit"]["cause"] == "the engine died"
    assert launch["exit"]["evidence"] == ["one", "two"]
    assert await panel.get(f"/api/launches/{LABELS['launchId']}") == launch


async def test_an_unhealthy_launch_has_the_reason_until_it_recovers(loki, panel):
    unhealthy = (
        'unhealthy cause="process 72 (VLLM::EngineCore) is stopped" hint="kill -CONT 72 continues it" seconds=9'
    )
    add_events(loki, "started port=8000 pid=71", "ready seconds=55.2", unhealthy)
    (launch,) = (await panel.get("/api/launches", traceId="t1"))["launches"]
    assert launch["state"] == "unhealthy"
    assert launch["health"]["cause"] == "process 72 (VLLM::EngineCore) is stopped"
    assert launch["health"]["hint"] == "kill -CONT 72 continues it"
    add_events(loki, "recovered seconds=30", start=time.time_ns() - 10**9)
    (launch,) = (await panel.get("/api/launches", traceId="t1", limit=9))["launches"]
    assert (launch["state"], "health" in launch) == ("ready", False)


async def test_output_of_a_server_does_not_change_the_state(loki, panel):
    add_events(loki, "started port=8000 pid=71")
    loki.add(LABELS, time.time_ns(), "ready seconds=1 pid=71", level="info")
    (launch,) = (await panel.get("/api/launches", traceId="t1"))["launches"]
    assert launch["state"] == "starting"


async def test_a_number_that_json_does_not_have_costs_no_list(loki, panel):
    add_events(loki, "started port=8000 nodeRank=99999999999999999999 pid=²", "exited state=failed exitCode=--1")
    (launch,) = (await panel.get("/api/launches"))["launches"]
    assert (launch["state"], launch["port"]) == ("failed", 8000)
    assert {"nodeRank", "pid", "exitCode"} & {*launch, *launch["exit"]} == set()


async def test_a_refused_start_is_a_failed_launch(loki, panel):
    add_events(loki, 'refused exitStatus=15 cause="the model path does not exist" hint="check modelPath" port=8000')
    (launch,) = (await panel.get("/api/launches", traceId="t1"))["launches"]
    assert (launch["state"], launch["exit"]["exitStatus"]) == ("failed", 15)


async def test_recent_launches_are_listed_newest_first(loki, panel):
    for number in range(5):
        labels = {**LABELS, "traceId": f"t{number}", "launchId": f"20261122T12000{number}-aaaaaa"}
        add_events(
            loki, "started port=1", "ready seconds=1", labels=labels, start=time.time_ns() - (9 - number) * 10**9
        )
    found = (await panel.get("/api/launches", limit=3))["launches"]
    assert [launch["traceId"] for launch in found] == ["t4", "t3", "t2"]
    assert {launch["state"] for launch in found} == {"ready"}


async def test_the_list_is_filtered_and_read_page_by_page(loki, panel):
    for number in range(9):
        labels = {
            **LABELS,
            "traceId": f"t{number}",
            "launchId": f"20261122T12000{number}-aaaaaa",
            "host": f"gpu-{number % 3}",
        }
        ended = (
            ['exited state=failed seconds=1 exitCode=1 cause="CUDA out of memory"']
            if number % 2
            else ["ready seconds=1"]
        )
        add_events(loki, "started port=1", *ended, labels=labels, start=time.time_ns() - (20 - number) * 10**9)

    async def traces(**query):
        return [launch["traceId"] for launch in (await panel.get("/api/launches", **query))["launches"]]

    assert await traces(state="failed") == ["t7", "t5", "t3", "t1"]
    assert await traces(host="gpu-1") == ["t7", "t4", "t1"]
    assert await traces(q="OUT OF memory gpu-0") == ["t3"]
    assert await traces(modelName="other") == []
    first = await panel.get("/api/launches", state="failed,ready", limit=5)
    second = await panel.get("/api/launches", state="failed,ready", limit=5, before=first["next"])
    assert [one["traceId"] for one in first["launches"] + second["launches"]] == [f"t{n}" for n in range(8, -1, -1)]
    assert "next" not in second
    wrong = await panel.get("/api/launches", before="2", status=400)  # without an error, the first page for ever
    assert "take the `next` of the page before" in wrong["error"]["message"]


async def test_a_state_that_no_launch_has_is_refused_with_those_that_there_are(loki, panel):
    for query in ({"state": "ready,bogus"}, {"state": "bogus", "traceId": "t1"}):
        error = (await panel.get("/api/launches", **query, status=400))["error"]
        assert error["code"] == "bad_parameter"
        assert "state 'bogus' is not one of starting, ready, unhealthy, stopping, stopped, " in error["message"]
    assert (await panel.get("/api/launches", state="crashed,lost,unknown"))["launches"] == []


async def test_an_unknown_launch_is_a_404(panel):
    assert (await panel.get("/api/launches/20261122T120000-ffffff", status=404))["error"]["code"] == "not_found"
    assert (await panel.get("/api/launches/nonsense", status=404))["error"]["code"] == "not_found"
