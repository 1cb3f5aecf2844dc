"""The stages of a query on one line, in the details of Loki."""

import pytest

from tracetail.store.logql.parser import parse
from tracetail.store.query.pipeline import Pipeline

STREAM = (("env", "test"), ("traceId", "t1"))


def labels(stages, line, metadata=()):
    """Return the labels of a line after the stages, without those of its stream; None if it is dropped."""
    pipeline = Pipeline(parse('{traceId="t1"} ' + stages).stages)
    found = pipeline.run(STREAM, metadata, line.encode())
    return None if found is None else {k: v for k, v in found.items() if (k, v) not in STREAM}


def error_of(stages, line):
    return labels(stages, line).get("__error__")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            '{"a":"x","n":1.50,"t":true,"f":false,"z":null,"l":[1]}',
            {"a": "x", "n": "1.50", "t": "true", "f": "false"},
        ),
        ('{"a":{"b":{"c d":"x"}}}', {"a_b_c_d": "x"}),
        ('{"9a":"x","a-b":"y"}', {"_9a": "x", "a_b": "y"}),
        ('{"env":"x"}', {"env_extracted": "x"}),
        ('  {"a":"x"} trailing', {"a": "x"}),
        ('{"a":"\\u6a21\\n"}', {"a": "模\n"}),
        ('{"a":12345678901234567890.123456789}', {"a": "12345678901234567890.123456789"}),
        ("{}", {}),
        ('{"":"x","a":"y"}', {"a": "y"}),
    ],
)
def test_json(line, found):
    assert labels("| json", line) == found


@pytest.mark.parametrize("line", ["", "text", '{"a":NaN}', "[1]", '"a"', "42", '{"a"', '{"a":}', "{" * 5000])
def test_a_line_that_is_not_a_json_object_gets_an_error_label(line):
    assert error_of("| json", line) == "JSONParserErr"


def test_members_before_the_error_of_a_json_object_are_extracted():
    assert labels("| json", '{"a":"x","b":{"c":1},"d":"cut o') == {
        "a": "x",
        "b_c": "1",
        "__error__": "JSONParserErr",
        "__error_details__": "Value looks like object, but can't find closing '}' symbol",
    }


def test_a_long_invalid_object_is_parsed_in_linear_time():
    line = "{" + ",".join(f'"k{i}":{i}' for i in range(20_000)) + ',"cut'
    assert len(labels("| json", line)) == 20_000 + len(("__error__", "__error_details__"))


def test_json_expressions():
    line = '{"a":{"b":[{"c":"x"},2]},"n":1,"o":{"k":[1.0,null]},"env":"e"}'
    assert labels('| json x="a.b[0].c", y="a.b[1]", n', line) == {"x": "x", "y": "2", "n": "1"}
    assert labels("| json o", line) == {"o": '{"k":[1.0,null]}'}
    assert labels('| json missing="a.z"', line) == {"missing": ""}
    assert labels('| json env="env"', line) == {"env_extracted": "e"}
    assert error_of('| json x="a"', "text") == "JSONParserErr"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('level=error msg="a \\"b\\" c" n=5', {"level": "error", "msg": 'a "b" c', "n": "5"}),
        ("key", {}),
        ("a= b=2", {"b": "2"}),
        ('bad"key=1 good=2', {"good": "2"}),
        ("a=b=c good=2", {"good": "2"}),
        ("=x good=2", {"good": "2"}),
        ("a.b=1 9c=2", {"a_b": "1", "_9c": "2"}),
        ("env=x", {"env_extracted": "x"}),
        ('a=1 b="never closed c=2', {"a": "1"}),
        ("模型=1", {"__": "1"}),
    ],
)
def test_logfmt(line, found):
    assert labels("| logfmt", line) == found


def test_logfmt_flags_and_expressions():
    assert labels("| logfmt --keep-empty", "a= key") == {"a": "", "key": ""}
    assert labels("| logfmt --strict", "a=1 b=c=d e=2") == {
        "a": "1",
        "__error__": "LogfmtParserErr",
        "__error_details__": "logfmt syntax error at pos 8 : unexpected '='",
    }
    assert labels("| logfmt --strict", "a=1 b=2") == {"a": "1", "b": "2"}
    assert labels('| logfmt x="a", b', "a=1 b=2 c=3") == {"x": "1", "b": "2"}
    assert labels('| logfmt x="missing"', "a=1") == {"x": ""}


def test_regexp():
    assert labels("| regexp `(?P<a>\\w+) (?P<b>x)?`", "word y") == {"a": "word", "b": ""}
    assert labels("| regexp `(?P<a>\\d+)`", "no digits") == {}
    assert labels("| regexp `(?P<env>\\w+)`", "prod") == {"env_extracted": "prod"}


def test_label_filters_compare_strings_numbers_durations_and_bytes():
    line = "status=500 took=1m30s size=5MB name=x"
    for condition, passes in (
        ('status="500"', True),
        ('status!="500"', False),
        ('status=~"5.."', True),
        ('status=~"5"', False),
        ('missing=""', True),
        ('missing!="x"', True),
        ("status == 500.0", True),
        ("status > 499", True),
        ("status >= 501", False),
        ("took > 1m", True),
        ("took <= 90s", True),
        ("size >= 5000kb", True),
        ("size < 5MiB", True),
        ("missing > 0", False),
        ('status="500" and name="y"', False),
        ('status="500" or name="y"', True),
        ('status="1" or name="x", size="5MB"', True),
        ('(status="1" or name="x") size="5KB"', False),
    ):
        assert (labels(f"| logfmt | {condition}", line) is not None) == passes, condition


def test_a_value_that_cannot_be_compared_sets_an_error_label():
    assert error_of("| logfmt | status > 5", "status=abc") == "LabelFilterErr"
    assert error_of("| logfmt | took > 5s", "took=5") == "LabelFilterErr"
    assert labels('| logfmt | took > 5s | __error__=""', "took=5") is None


def test_lines_with_an_error_can_be_filtered_and_the_error_removed():
    assert labels('| json | __error__=""', "text") is None
    assert labels('| json | __error__!="JSONParserErr"', "text") is None
    assert labels("| json | drop __error__, __error_details__", "text") == {}


def test_drop_and_keep():
    metadata = (("level", "info"), ("pid", "1"))
    assert labels("| drop pid", "x", metadata) == {"level": "info"}
    assert labels('| drop level="error", pid=~"1+"', "x", metadata) == {"level": "info"}
    pipeline = Pipeline(parse('{traceId="t1"} | keep level, pid="2", env').stages)
    assert pipeline.run(STREAM, metadata, b"x") == {"env": "test", "level": "info"}
    assert error_of("| json | keep level", "text") == "JSONParserErr"


def test_metadata_with_the_name_of_a_stream_label_is_renamed():
    assert labels("", "x", (("env", "other"),)) == {"env_extracted": "other"}


def test_parsed_labels_replace_metadata():
    assert labels("| logfmt", "level=error", (("level", "info"),)) == {"level": "error"}


@pytest.mark.parametrize(
    ("stages", "passes"),
    [
        ('|= "b"', True),
        ('|= "z"', False),
        ('!= "b"', False),
        ('|= "z" or "c"', True),
        ('!= "z" or "c"', False),
        ('|~ "^a.*c$"', True),
        ('|~ "(?i)ABC"', True),
        ('!~ "[0-9]"', True),
        ('|= ""', True),
        ('!= ""', False),
    ],
)
def test_line_filters(stages, passes):
    assert (labels(stages, "abc") is not None) == passes
