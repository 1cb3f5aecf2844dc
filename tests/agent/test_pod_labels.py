"""Labels of a pod's log from the annotations that it mounts (downward API)."""

import pytest

from tracetail.agent.reading.pod_labels import parse, pod_labels

LOG = "/var/log/pods/llm-test_server-7c9f-abcde_0f7b3a52/llm-server/0.log"


def test_the_file_of_the_pod_that_the_path_names_is_read(tmp_path):
    (tmp_path / "0f7b3a52-server-7c9f-abcde").write_text('a/trace="t-1"\nb="2"\n')
    template = str(tmp_path / "{uid}-{pod}")
    assert pod_labels(LOG, template, {"a/trace": "traceId", "missing": "x"}) == {"traceId": "t-1"}
    assert pod_labels(LOG, str(tmp_path / "{namespace}"), {"a/trace": "traceId"}) == {}
    assert pod_labels("/var/log/other.log", template, {"a/trace": "traceId"}) == {}
    assert pod_labels(LOG, "", {"a/trace": "traceId"}) == {}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (r'a="say \"hi\" \\ there"', {"a": 'say "hi" \\ there'}),
        ('a="模型"', {"a": "模型"}),
        (r'a="two\nlines"', {}),
        ('a=""', {}),
        (f'a="{"x" * 257}"', {}),
        ("a=unquoted", {}),
        (r'a="\x00"', {}),
    ],
)
def test_only_values_that_can_be_labels_are_taken(line, found):
    assert parse(line) == found
