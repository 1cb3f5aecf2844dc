"""Nothing that comes from outside can leave the string it is put into."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetail.loki import logql


def test_queries_read_as_documented():
    assert logql.trace_query("t1") == '{traceId="t1"}'
    assert logql.trace_query("t1", levels=["error"]) == '{traceId="t1"} | level="error"'
    assert (
        logql.trace_query("t1", launch_id="l1", levels=["error", "critical"], contains='say "hi"')
        == '{traceId="t1", launchId="l1"} |= "say \\"hi\\"" | level="error" or level="critical"'
    )
    assert logql.trace_query("t1", contains="a.b", ignore_case=True) == '{traceId="t1"} |~ "(?i)a\\\\.b"'


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_value_never_ends_its_string(value):
    quoted = logql.quote(value)
    assert quoted[0] == quoted[-1] == '"'
    inside = quoted[1:-1]
    assert inside.isprintable()
    plain = inside.replace("\\\\", "")
    assert plain.count('"') == plain.count('\\"')
    assert not plain.endswith("\\")


def test_levels_from_includes_the_graver_ones():
    assert logql.levels_from("error") == ("error", "critical")
    with pytest.raises(ValueError, match="'loud' is not one of debug, info, warning, error, critical"):
        logql.levels_from("loud")
