"""Help pages and the configuration in Chinese: every command and option, click's own words; wrapped by columns."""

import inspect
import re

import click
import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from tracetail.cli.chinese import commands, options, settings
from tracetail.cli.configuration import Configuration
from tracetail.cli.main import main
from tracetail.cli.options import keys_inside
from tracetail.cli.options import options as options_of_the_configuration
from tracetail.cli.wide_text import wrap

LOCALE = ("TRACETAIL_LANG", "LC_ALL", "LC_MESSAGES", "LANG")


def every_command(command=main, path="tracetail"):
    """Yield the path and the declaration of each command, hidden ones included."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        names = command.list_commands(context) + (["keep"] if command is main else [])
        for name in names:
            yield from every_command(command.find(context, name), f"{path} {name}")


EVERY = dict(every_command())


def test_every_command_has_its_help_in_chinese():
    assert sorted(commands.HELP) == sorted(EVERY)
    with_short = [path for path, command in EVERY.items() if command.short_help and command.help]
    assert set(commands.SHORT) <= set(with_short)


@pytest.mark.parametrize("path", EVERY)
def test_both_versions_of_a_help_have_the_same_paragraphs_names_and_numbers(path):
    """A help that has changed in one language is found by what it names."""
    english, chinese = inspect.cleandoc(EVERY[path].help or ""), commands.HELP[path]
    assert english.count("\n\n") == chinese.count("\n\n")
    named = re.compile(r"`[^`]+`|--[a-z-]+|\b\d+\b|[A-Z]+_[A-Z_]+|\b[a-z]+\.[a-z_]+\b")
    assert set(named.findall(english)) == set(named.findall(chinese))


def test_every_option_has_its_help_in_chinese_and_none_is_out_of_date():
    declared = {
        param.help for command in EVERY.values() for param in command.params if isinstance(param, click.Option)
    }
    assert declared - {"Show this message and exit."} == set(options.HELP) - {"Show this message and exit."}


@pytest.mark.parametrize("path", EVERY)
def test_a_page_is_chinese_all_through_and_fits_the_terminal(path):
    words = path.split()[1:]
    runner = CliRunner(env=dict.fromkeys(LOCALE))
    page = runner.invoke(main, ["--lang", "zh", *words, "--help"], terminal_width=80).stdout
    assert "用法:" in page
    for line in page.splitlines():
        assert re.search(r"Usage|Options:|Commands:|[Dd]efault:|required|Show this", line) is None, line
        assert cell_len(line) <= 80 or " " not in line.strip(), line


def test_every_command_is_listed_in_chinese():
    runner = CliRunner(env=dict.fromkeys(LOCALE))
    printed = runner.invoke(main, ["--lang", "zh", "--help"]).stdout
    for name in main.list_commands(None):
        assert re.search(rf"^  {name} +[^A-Za-z]", printed, re.MULTILINE), name


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["strat"], "错误：没有命令 'strat'。是否想输入 start"),
        (["agent", "rejcted"], "错误：没有命令 'rejcted'。是否想输入 rejected？"),
        (["token"], "错误：缺少选项 '--trace-id'"),
        (["logs", "--level", "loud"], "错误：'--level' 的值不能用：'loud' 不是其中之一："),
        (["ps", "-n", "many"], "错误：'-n' / '--last' 的值不能用：'many' 不是整数。"),
        (["open", "a", "b"], "错误：多余的参数（b）"),
        (["ps", "--sate", "ready"], "错误：没有选项 '--sate'。 （是否想输入其中之一："),
        (["agent", "try", "/no/such"], "错误：'FILE' 的值不能用：'/no/such'：文件或目录不存在"),
    ],
)
def test_a_refused_argument_is_explained_in_chinese(arguments, shown):
    done = CliRunner(env=dict.fromkeys(LOCALE)).invoke(main, ["--lang", "zh", *arguments])
    assert done.exit_code == 2
    assert shown in done.stderr
    assert "Error" not in done.stderr


def test_wrapped_lines_begin_with_no_punctuation_and_break_no_option():
    text = "停止服务以及该启动的所有进程；给出 --trace-id 时，停止该 trace 的所有服务。"
    for width in range(16, 60):
        lines = wrap(text, width).splitlines()
        assert all(cell_len(line) <= width for line in lines)
        assert not any(line.startswith(("，", "；", "。")) for line in lines)
        assert sum("--trace-id" in line for line in lines) == 1
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_every_option_of_the_configuration_is_explained_in_chinese_and_none_is_out_of_date():
    found = options_of_the_configuration(Configuration)
    declared = {one.english for option in found for one in [option, *keys_inside(option)]}
    assert declared == set(settings.TEXTS)
    assert set(settings.ABOUT) == {option.table for option in found}


def test_the_example_is_chinese_all_through():
    printed = CliRunner(env=dict.fromkeys(LOCALE)).invoke(main, ["--lang", "zh", "config", "example"]).stdout
    comments = [line for line in printed.splitlines() if line.startswith("# ") and " = " not in line]
    assert [line for line in comments if not re.search(r"[\u4e00-\u9fff]|^# \[", line)] == []
