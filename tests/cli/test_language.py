"""What commands print for people is there in English and in Chinese; what programs read does not depend on it.

Texts are found in the source, so that one without a translation fails here. Help pages: test_help_pages.py; pages of
the documentation: tests/docs/test_twins.py.
"""

import ast
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracetail.cli import configuration, language, refusals, words
from tracetail.cli.config_sources import ConfigurationError
from tracetail.cli.main import main
from tracetail.contract import events, record
from tracetail.contract.secret_search import InvalidPatternError, compile_pattern
from tracetail.launcher import engines, params_input
from tracetail.launcher.params import ParametersError

ROOT = Path(__file__).parents[2]
CLI = ROOT / "cli"
LAUNCHER = [path for name in ("operations", "keeper") for path in sorted((ROOT / "launcher" / name).glob("*.py"))]
PRINTERS = {
    "echo": 0,
    "secho": 0,
    "fail": 0,
    "_print": 0,
    "_say": 0,
    "_title": 0,
    "_done": 0,
    "show": 0,
    "ok": 1,
    "warning": 1,
    "problem": 1,
    "PartFailedError": 0,
    "DemoFailedError": 0,
}
"""Functions that print for people, and errors whose text is printed: the position of the first text."""
NO_SENTENCE = {
    "loki",
    "LogQL",
    "Loki",
    "Pushgateway",
    "remote write",
    "TRACETAIL_RESULT",
    "--regex",
    "launcher.services.",
}
"""Names, which are the same in both languages."""
REFUSALS = {
    "BadSettingsError",
    "ConfigurationError",
    "DatabaseError",
    "InvalidIdError",
    "InvalidPatternError",
    "JournalError",
    "ListenError",
    "HttpSettingsError",
    "LokiUnavailableError",
    "ParametersError",
    "RecordError",
    "SecretFileError",
    "UnsafeBindError",
}
"""The errors of the parts that a command prints."""
PARTS = ("cli", "launcher", "loki", "contract", "agent", "store", "panel")
NOT_REFUSALS = {"panel/trace/search.py"}
"""Its InvalidPatternError is an answer of the panel's API, which the component translates."""
WORD = re.compile(r"[A-Za-z]{2,}")
LOCALE = ("TRACETAIL_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def sources(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(call):
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def calls(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def literals(node):
    """Yield the literal texts below a node, but those in both languages, keys, and those of the result line."""
    if isinstance(node, ast.Call) and name_of(node) in (
        "both",
        "in_language",
        "get",
        "line",
        "said",
        "json_text",
        "source",
    ):
        return
    if isinstance(node, ast.Subscript | ast.Compare):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from literals(child)


def is_sentence(text):
    return WORD.search(text) is not None and text.strip(": ") not in NO_SENTENCE


def printed_texts(path):
    for call in calls(path):
        if name_of(call) in PRINTERS:
            for argument in call.args[PRINTERS[name_of(call)] :]:
                yield from ((call.lineno, text) for text in literals(argument))


@pytest.mark.parametrize("path", sources("cli"), ids=lambda path: str(path.relative_to(CLI)))
def test_no_command_prints_a_sentence_in_one_language_only(path):
    commands = re.compile(r"^(?:chmod|echo|ulimit|LimitNOFILE)\b")  # to be pasted into a shell
    alone = [(line, text) for line, text in printed_texts(path) if is_sentence(text) and not commands.match(text)]
    assert alone == []


def pairs(path):
    """Yield the line of each `both(English, Chinese)` of literals, and these texts with {} for each value."""
    for call in calls(path):
        if name_of(call) == "both":
            found = [template(argument) for argument in call.args]
            if None not in found:
                yield call.lineno, *found


def template(node):
    """Return a literal text with {} for each of its values; None for what is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(one.value if isinstance(one, ast.Constant) else "{}" for one in node.values)
    return None


@pytest.mark.parametrize("path", sources("cli"), ids=lambda path: str(path.relative_to(CLI)))
def test_both_versions_of_a_text_name_the_same_commands_and_options(path):
    named = re.compile(r"`[^`{}]+`|--[a-z][a-z-]+|\b[A-Z]{3,}_[A-Z_]+\b")
    differing = [
        (line, english, chinese)
        for line, english, chinese in pairs(path)
        if sorted(named.findall(english)) != sorted(named.findall(chinese))
    ]
    assert differing == []


@pytest.mark.parametrize("path", LAUNCHER, ids=lambda path: path.stem)
def test_no_refusal_or_failure_has_its_cause_in_one_language_only(path):
    positions = {"Refusal": (2, 5), "Result": (6, 8), "Problem": (1, 3)}  # the English cause, the Chinese one
    if path.stem == "model_files":
        del positions["Problem"]  # has both in one Text
    missing = []
    for call in calls(path):
        if name_of(call) not in positions or any(isinstance(one, ast.Starred) for one in call.args):
            continue
        english, chinese = positions[name_of(call)]
        given = {keyword.arg for keyword in call.keywords}
        if (len(call.args) >= english or "cause" in given) and len(call.args) < chinese and "zh" not in given:
            missing.append(call.lineno)
    assert missing == []


def test_what_a_part_refuses_is_said_in_chinese():
    english = []
    for path in sources(*PARTS):
        source = path.read_text(encoding="utf-8")
        if str(path.relative_to(ROOT)) in NOT_REFUSALS or not any(f"raise {name}(" in source for name in REFUSALS):
            continue
        for node in ast.walk(ast.parse(source)):
            call = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(call, ast.Call) and name_of(call) in REFUSALS and call.args:
                text = re.sub(r"^\{\}(?=[a-z])", "", template(call.args[0]) or "").replace("{}", "x1")
                if WORD.search(text.replace("x1", "")) and text[-4:] != ": x1" and refusals.in_chinese(text) == text:
                    english.append((str(path.relative_to(ROOT)), call.lineno, text))
    assert english == []


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "/etc/tracetail/tracetail.toml: unknown key loki.ulr; did you mean url?",
            "/etc/tracetail/tracetail.toml：没有选项 loki.ulr；是否想写 url？",
        ),
        (
            "/t.toml: loki.timeout_seconds: expected a number, got text",
            "/t.toml: loki.timeout_seconds：应为数字，实际是文本",
        ),
        (
            "container: unknown parameter 'imgae'; did you mean image?",
            "container：没有参数 'imgae'；是否想写 image？",
        ),
        (
            "Loki at http://127.0.0.1:3100 cannot be reached: Connection refused",
            "无法访问 http://127.0.0.1:3100 的 Loki：连接被拒绝",
        ),
        (
            "traceId 'a b' is not valid: it contains ' '; use letters, digits and . _ : - (at most 128)",
            "traceId 'a b' 不能用：含有 ' '；请用字母、数字和 . _ : -（最多 128 个）",
        ),
        (
            "Loki at https://loki cannot be reached: there is no TLS with it (wrong version); look at loki.url",
            "无法访问 https://loki 的 Loki：它没有使用 TLS（wrong version）；请检查 loki.url",
        ),
        ("what nobody knows", "what nobody knows"),
    ],
)
def test_a_refusal_keeps_its_values(english, chinese):
    assert refusals.in_chinese(english) == chinese


@pytest.mark.parametrize(
    "given",
    [
        {"port": 99_999_999},
        {"port": "x"},
        {"nodes": 0},
        {"engine": "vlm"},
        {"ifRunning": "maybe"},
        {"warmup": "yes"},
        {"args": "--x"},
        {"environ": []},
        {"keepLogs": 1.5},
        {"nodeRank": -1},
        {"nodeRank": 10**20},
        {"stopTimeoutSec": -1},
        {"modelNmae": "m"},
        {"container": {"image": "i:1", "args": ["--rm"]}},
    ],
)
def test_a_wrong_parameter_is_explained_in_chinese(given):
    with pytest.raises(ParametersError) as refused:
        params_input.from_object({"modelName": "m", "modelPath": "org/m", **given})
    chinese = refusals.in_chinese(str(refused.value))
    assert re.search(r"[\u4e00-\u9fff]", chinese), chinese
    assert re.search(r"\b(?:expected|got|is|not|a|the|it|did)\b", chinese) is None, chinese


@pytest.mark.parametrize(
    "text",
    [
        "[store\nx = 1",
        "a = 1\na = 2",
        "[a]\n[a]",
        "[[a]\n",
        "a = [1",
        "a = {b = 1",
        "a = {b = 1, b = 2}",
        "a = 'x",
        'a = """x',
        'a = "\\q"',
        'a = "\\u00"',
        'a = "\\uD800"',
        'a = "x\ny"',
        "a b",
        "= 1",
        "[]",
        "listen = localhost:3100",
        "listen = 127.0.0.1:3100",
    ],
)
def test_a_configuration_that_is_no_toml_is_explained_in_chinese(tmp_path, text):
    (tmp_path / "tracetail.toml").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        configuration.load(str(tmp_path / "tracetail.toml"), {})
    chinese = refusals.in_chinese(str(refused.value)).replace(str(tmp_path), "")
    assert "（" in chinese, chinese
    assert WORD.search(chinese.replace("tracetail.toml", "")) is None, chinese


@pytest.mark.parametrize(
    "pattern",
    ["a(", ")", "[", "[z-a]", "*", "a**", "a{1001}", "(?=x)", r"\q", "\\", "(?P<n", r"\1", r"\pX"],
)
def test_an_expression_that_is_none_of_re2_is_explained_in_chinese(pattern):
    with pytest.raises(InvalidPatternError) as refused:
        compile_pattern("p", pattern)
    reason = str(refused.value).removeprefix("redaction pattern 'p' is not valid: ")
    assert re.search(r"[\u4e00-\u9fff]", refusals.in_chinese(reason)), reason


@pytest.mark.parametrize("path", ["contract/connection_error.py"])
def test_the_reason_why_loki_cannot_be_reached_is_said_in_chinese(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    returned = [template(node.value) for node in ast.walk(tree) if isinstance(node, ast.Return)]
    texts = [text.replace("{}", "x1") for text in returned if text]
    assert len(texts) > 4
    assert [text for text in texts if refusals.in_chinese(text) == text] == []


def test_the_result_line_has_the_refusal_in_both_languages(tmp_path):
    runner = CliRunner(env=dict.fromkeys(LOCALE) | {"TRACETAIL_STATE_DIR": str(tmp_path)})
    done = runner.invoke(main, ["--lang", "zh", "start", "--model-name", "m"])
    assert done.stderr == "错误：缺少 modelPath：引擎 vllm 需要模型的目录或名称\n"
    assert '"cause": "modelPath is missing: engine vllm needs a model\'s directory or name"' in done.stdout
    assert '"causeZh": "缺少 modelPath：引擎 vllm 需要模型的目录或名称"' in done.stdout


def test_the_result_line_is_the_same_in_both_languages_where_an_option_is_mistyped(tmp_path):
    lines = []
    for name in language.LANGUAGES:
        runner = CliRunner(env=dict.fromkeys(LOCALE) | {"TRACETAIL_STATE_DIR": str(tmp_path)})
        done = runner.invoke(main, ["start", "--model-nam", "m", "--lang", name])
        lines.append(done.stdout)
    result = json.loads(lines[0].removeprefix("TRACETAIL_RESULT "))
    meant = "'--model-name', '--model-path', '--node-rank'"
    assert result["cause"] == f"No such option '--model-nam'. (Did you mean one of: {meant}?)"
    assert result["causeZh"] == f"没有选项 '--model-nam'。 （是否想输入其中之一：{meant}？）"
    assert done.stderr.endswith(f"错误：{result['causeZh']}\n")
    assert lines[0] == lines[1]


@pytest.mark.parametrize("charset", ["latin-1", "gbk"])
def test_what_the_locales_encoding_lacks_is_escaped(tmp_path, charset):
    runner = CliRunner(charset, env=dict.fromkeys(LOCALE) | {"TRACETAIL_STATE_DIR": str(tmp_path)})
    done = runner.invoke(main, ["start", "--model-name", "m😀", "--trace-id", "t1"])
    assert done.exit_code == 2
    result = json.loads(done.stdout.removeprefix("TRACETAIL_RESULT "))
    assert result["modelName"] == "m😀"
    assert result["causeZh"] == "缺少 modelPath：引擎 vllm 需要模型的目录或名称"


def test_states_events_and_phases_have_a_chinese_word():
    with language.chosen("zh"):
        for state in (record.STARTING, record.READY, record.UNHEALTHY, record.STOPPING, *record.ENDED_STATES):
            assert words.state_word(state) != state
        for engine in engines.NAMES:
            for phase in engines.load(engine).phases:
                assert words.phase_word(phase.name) != phase.name
        for name in (value for key, value in vars(events).items() if key.isupper()):
            assert words.event_text(f"{name} seconds=1.5") == f"{words.event_text(name)} seconds=1.5" != name


def test_an_event_is_shown_with_the_cause_of_the_language_alone():
    event = 'failed seconds=2.0 exitCode=1 cause="no room" causeZh=没有空间 causeCode=disk_full'
    with language.chosen("en"):
        assert words.event_text(event) == 'failed seconds=2.0 exitCode=1 cause="no room" causeCode=disk_full'
    with language.chosen("zh"):
        assert words.event_text(event) == "启动失败 seconds=2.0 exitCode=1 cause=没有空间 causeCode=disk_full"
        assert words.event_text("phase name=compiled seconds=2.0") == "阶段 name=编译 seconds=2.0"


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "TRACETAIL_LANG": "en"}, "en"),
        ({"LANG": "en_US.UTF-8", "TRACETAIL_LANG": "zh"}, "zh"),
    ],
)
def test_the_variable_goes_before_the_locale(environ, wanted):
    assert language.language(environ) == wanted


def test_the_option_goes_before_the_variable(tmp_path):
    runner = CliRunner(env=dict.fromkeys(LOCALE) | {"TRACETAIL_LANG": "en", "TRACETAIL_STATE_DIR": str(tmp_path)})
    assert runner.invoke(main, ["--lang", "zh", "ps"]).stdout == "没有正在运行的服务；-a 包括已结束的\n"
    assert runner.invoke(main, ["ps"]).stdout == "nothing runs; with -a: what has ended\n"
    assert "'zh'" in runner.invoke(main, ["--lang", "fr", "ps"]).stderr


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["ps", "--lang", "zh"], "没有正在运行的服务；-a 包括已结束的"),
        (["--lang", "en", "ps", "--lang=zh"], "没有正在运行的服务；-a 包括已结束的"),
        (["config", "check", "--lang", "zh"], "没有配置文件"),
        (["ps", "--lang", "zh", "--help"], "用法"),
        (["ps", "--help", "--lang", "zh"], "用法"),
        (["ps", "--help", "--lang", "fr"], "Usage"),
        (["ps", "--help"], "--lang [en|zh]"),
    ],
)
def test_the_language_may_be_given_behind_the_command(tmp_path, words, printed):
    runner = CliRunner(env=dict.fromkeys(LOCALE) | {"TRACETAIL_STATE_DIR": str(tmp_path)})
    assert printed in runner.invoke(main, words).stdout


def test_an_option_of_the_server_is_not_the_commands_language():
    assert language.named_in(["start", "--", "serve", "--lang", "zh"]) is None


def test_doctor_speaks_chinese_to_people_and_english_to_programs(tmp_path):
    runner = CliRunner(env=dict.fromkeys(LOCALE) | {"TRACETAIL_STATE_DIR": str(tmp_path), "TRACETAIL_LOKI_ULR": "x"})
    for_people = runner.invoke(main, ["--lang", "zh", "doctor"]).stdout
    assert "✗ 配置：没有环境变量 TRACETAIL_LOKI_ULR；是否想写 TRACETAIL_LOKI_URL？" in for_people
    assert "1 个问题，0 个警告" in for_people
    for_programs = runner.invoke(main, ["--lang", "zh", "doctor", "--json"]).stdout
    assert "unknown environment variable TRACETAIL_LOKI_ULR; did you mean TRACETAIL_LOKI_URL?" in for_programs


def test_the_forms_of_a_time_are_listed_in_chinese():
    printed = CliRunner().invoke(main, ["--lang", "zh", "logs", "--since", "x"]).output
    assert "例如 10m、6h、7d、14:00、today、yesterday、2026-11-22 或 2026-11-22T14:00" in printed
