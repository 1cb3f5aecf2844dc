"""Labels of a pod's log from the annotations that it mounts (downward API)."""

import os

import pytest
from support.other_user import NOBODY, needs_root, shared_directory

from tracetail.agent.reading.container_labels import container_labels
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
    "path",
    [
        f"/var/lib/kubelet/pods/3c5e/volumes/kubernetes.io~empty-dir/logs{LOG}",
        "/var/log/pods/llm-test_.._0f7b3a52/llm-server/0.log",
    ],
)
def test_a_pod_takes_no_labels_of_another_one_by_a_path_in_its_volume(path, tmp_path):
    for name in ("0f7b3a52-server-7c9f-abcde", "0f7b3a52-.."):
        (tmp_path / name).write_text('a/trace="t-1"\n')
    assert pod_labels(path, str(tmp_path / "{uid}-{pod}"), {"a/trace": "traceId"}) == {}
    assert container_labels(path) == {} or ".." in path


@needs_root
def test_a_link_of_somebody_else_leads_to_no_file_of_labels():
    with shared_directory() as path:
        (path / "root").write_text('a="t-1"\n')
        (path / "root").chmod(0o600)
        (path / "0f7b3a52").symlink_to(path / "root")
        assert pod_labels(LOG, str(path / "{uid}"), {"a": "traceId"}) == {"traceId": "t-1"}
        os.chown(path / "0f7b3a52", NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
        assert pod_labels(LOG, str(path / "{uid}"), {"a": "traceId"}) == {}
        log = path / ("a" * 64) / f"{'a' * 64}-json.log"
        log.parent.mkdir()
        (path / "root").write_text('{"Name": "/of-root"}')
        (log.parent / "config.v2.json").symlink_to(path / "root")
        assert container_labels(str(log)) == {"container": "of-root"}
        os.chown(log.parent / "config.v2.json", NOBODY.pw_uid, NOBODY.pw_gid, follow_symlinks=False)
        assert container_labels(str(log)) == {}


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
