"""Ids are taken as they are or refused with the reason; names become file names."""

import pytest

from tracetail.contract import identity


@pytest.mark.parametrize("value", ["t1", "4bf92f3577b34da6a3ce929d0e0e4736", "a.b_c:d-e", "1008611", "x" * 128])
def test_valid_ids_are_returned_unchanged(value):
    assert identity.check_id("traceId", value) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "it is empty"),
        ("x" * 129, "it has 129 characters"),
        ("-x", "it begins with '-'"),
        ('a"b', "contains '\"'"),
        ("a\nb", r"contains '\n'"),
        ("a\n", r"contains '\n'"),
        ("模型", "begins with '模'"),
        ("a b", "contains ' '"),
    ],
)
def test_invalid_ids_are_refused_with_the_reason_on_one_line(value, reason):
    with pytest.raises(identity.InvalidIdError) as caught:
        identity.check_id("traceId", value)
    assert reason in str(caught.value)
    assert str(caught.value).startswith("traceId")
    assert "\n" not in str(caught.value)


def test_new_ids_have_valid_syntax():
    assert identity.check_id("traceId", identity.new_trace_id())
    assert identity.is_launch_id(identity.new_launch_id(1795350600.0))
    assert not identity.is_launch_id("../../etc")
    assert identity.new_launch_id(0.0) != identity.new_launch_id(0.0)


def test_traceparent_only_for_w3c_trace_ids():
    assert identity.traceparent("4bf92f3577b34da6a3ce929d0e0e4736").startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert identity.traceparent("run-17") is None
    assert identity.traceparent("0" * 32) is None


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("qwen-7b", "qwen-7b"),
        ("Qwen/Qwen2-7B", "Qwen-Qwen2-7B"),
        ("../../etc/passwd", "etc-passwd"),
        ("模型", "model"),
        ("a b\tc", "a-b-c"),
        ("x" * 300, "x" * identity.SLUG_MAX_CHARACTERS),
    ],
)
def test_slug_is_a_harmless_file_name(name, slug):
    assert identity.slug(name) == slug
