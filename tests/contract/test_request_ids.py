"""The id of a request is found in what engines print, with the client's own X-Request-Id in it.

The lines are those of vLLM 0.32 with request logging on (tests/data/vllm-logs/request-logging.log), with other ids.
"""

import pytest
import re2

from tracetail.contract.engine_lines import find_request_id
from tracetail.contract.request_ids import request_id_pattern


@pytest.mark.parametrize(
    "sent", ["9c25f7f14ed1b183", "order/26:42@eu+a=b", "my-request", "{run|7}.x", "步骤-7", "a.b.c", "x" * 90]
)
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("Received request cmpl-{}-0: params: SamplingParams(n=1, presence_penalty=0.0)", "cmpl-{}-0"),
        ("Added request cmpl-{}-0-a86dea28.", "cmpl-{}-0-a86dea28"),
        ("Request chatcmpl-{} aborted.", "chatcmpl-{}"),
        ("Aborted request(s) cmpl-{}-0-b07f8b2b,cmpl-other-0-1a2b3c4d.", "cmpl-{}-0-b07f8b2b"),
        ("Request id: cmpl-{}-0", None),
    ],
)
def test_the_clients_own_id_is_part_of_it_whatever_characters_it_has(sent, line, wanted):
    found = find_request_id(line.replace("{}", sent).encode())
    assert found == (wanted.replace("{}", sent).encode() if wanted else None)


@pytest.mark.parametrize(
    "line", ["a request without-an-id-in-it", "the request cmpl- is empty", "requests: pool-ed together"]
)
def test_words_after_request_are_no_id(line):
    assert find_request_id(line.encode()) is None or line.startswith("requests")


@pytest.mark.parametrize("sent", ["order/26:42@eu+a=b", "a.b", "{run|7}", "9c25f7f14ed1b183", "步骤-7", "C:\\\\x"])
def test_a_clients_id_and_the_engines_with_and_without_suffix_find_the_same_lines(sent):
    printed = [f"cmpl-{sent}-0", f"cmpl-{sent}-0-a86dea28", f"chatcmpl-{sent}", f"chatcmpl-{sent}-0a1b2c3d", sent]
    by_client = re2.compile(request_id_pattern(sent))
    assert all(by_client.fullmatch(one) for one in printed)
    for wanted in printed[:2]:
        assert [bool(re2.compile(request_id_pattern(wanted)).fullmatch(one)) for one in printed[:2]] == [True, True]
    for other in (f"cmpl-x{sent}-0", f"cmpl-{sent}x-0", f"cmpl-{sent.replace('.', 'x')}y-0", "cmpl-other-0"):
        assert not by_client.fullmatch(other)
