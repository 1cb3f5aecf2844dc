"""`tracetail config`: prints an example or a JSON Schema, and checks a configuration file."""

import json
import os
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from tracetail.cli import config_sources, configuration
from tracetail.cli.command_group import CommandGroup
from tracetail.cli.errors import BAD_USAGE, fail
from tracetail.cli.language import both
from tracetail.cli.options import REQUIRED, Option, header_of, keys_inside, options, tables
from tracetail.launcher import params as parameters
from tracetail.launcher import params_input

_HEAD_ZH = """\
# tracetail.toml：全部选项及其默认值。
# 依次查找 --config、$TRACETAIL_CONFIG、~/.config/tracetail/tracetail.toml、/etc/tracetail/tracetail.toml。
# 每个选项也可以用环境变量设置：[loki] url 是 TRACETAIL_LOKI_URL。
"""
_HEAD = """\
# tracetail.toml: every option with its default.
# Searched at --config, $TRACETAIL_CONFIG, ~/.config/tracetail/tracetail.toml, /etc/tracetail/tracetail.toml.
# Each key can also be set by an environment variable: [loki] url is TRACETAIL_LOKI_URL.
"""


@click.group(cls=CommandGroup)
def config() -> None:
    """Show, check or describe the configuration."""


@config.command()
def example() -> None:
    """Print every option with its default and one line of explanation."""
    click.echo(render_example(), nl=False)


@config.command(short_help="Validate a configuration file.")
@click.argument("file", required=False)
@click.pass_context
def check(ctx: click.Context, file: str | None) -> None:
    """Validate FILE, or the configuration that the other commands would use."""
    from tracetail.agent.checked_settings import BadSettingsError, check_labels
    from tracetail.agent.kafka_settings import KafkaSettingsError
    from tracetail.agent.reading.globs import unmatched
    from tracetail.contract.http_settings import HttpSettingsError

    named = file or ctx.obj
    try:
        loaded = configuration.load(named)
        path = config_sources.config_path(named, os.environ)
    except config_sources.ConfigurationError as error:
        fail(str(error), BAD_USAGE)
    for name, table in loaded.launcher.services.items():
        try:
            params_input.convert(params_input.normalize(table))
        except parameters.ParametersError as error:
            fail(f"{path}: launcher.services.{name}: {error}", BAD_USAGE)
    try:
        check_labels(loaded.agent)
        if loaded.kafka.is_set:
            from tracetail.agent.shipping.kafka_producer import check_options

            check_options(loaded.kafka)
        if loaded.otlp.is_set:
            loaded.otlp.check_client()
    except (BadSettingsError, HttpSettingsError, KafkaSettingsError) as error:
        fail(f"{path}: {error}", BAD_USAGE)
    for english, chinese in unmatched(loaded.agent.sources):
        click.echo(both(f"warning: {english}", f"警告：{chinese}"), err=True)
    if path:
        click.echo(both(f"ok: {path}", f"可用：{path}"))
    else:
        english = "ok: no configuration file, defaults and environment variables only"
        click.echo(both(english, "可用：没有配置文件，只有默认值和环境变量"))


@config.command()
@click.pass_context
def grafana(ctx: click.Context) -> None:
    """Print Grafana's data source for this Loki, secrets included: a file of its provisioning/datasources."""
    from tracetail.contract.http_settings import HttpSettingsError

    try:
        loki = configuration.load(ctx.obj).loki
        headers = loki.headers()
    except (config_sources.ConfigurationError, HttpSettingsError) as error:
        fail(str(error), BAD_USAGE)
    click.echo(render_data_source(loki.url, headers), nl=False)


@config.command()
@click.option("--params", is_flag=True, help="Print the schema of the parameters of a launch instead.")
def schema(params: bool) -> None:
    """Print the JSON Schema of the configuration file."""
    click.echo(json.dumps(parameters.schema() if params else render_schema(), indent=2))


def render_data_source(url: str, headers: Mapping[str, str]) -> str:
    """Return a data source of Loki that sends these headers, in YAML.

    Source: https://grafana.com/docs/grafana/latest/administration/provisioning/#custom-http-headers-for-data-sources
    """
    lines = ["apiVersion: 1", "datasources:", "  - name: tracetail", "    type: loki", "    access: proxy"]
    lines.append(f"    url: {json.dumps(url)}")
    numbered = list(enumerate(headers.items(), start=1))
    if numbered:
        lines += ["    jsonData:", *(f"      httpHeaderName{number}: {name}" for number, (name, _) in numbered)]
        lines.append("    secureJsonData:")
        lines += [f"      httpHeaderValue{number}: {json.dumps(value)}" for number, (_, value) in numbered]
    return "\n".join(lines) + "\n"


def render_example() -> str:
    """Return a configuration file that has every option with its default, commented out."""
    lines = [both(_HEAD, _HEAD_ZH)]
    for table, found in tables(configuration.Configuration).items():
        lines.append(f"\n[{table}]")
        nested = [option for option in found if keys_inside(option)]
        lines += [line for option in found if option not in nested for line in _lines(option)]
        for option in nested:
            header = header_of(option)
            each = both(": one such table for each", "：每一项一个这样的表") if header.startswith("[[") else ""
            lines.append(f"\n# {option.description}{each}")
            lines.append(f"# {header}")
            lines += [line for inside in keys_inside(option) for line in _lines(inside)]
    return "\n".join(lines) + "\n"


def _lines(option: Option) -> list[str]:
    value = '"…"' if option.default is REQUIRED else _toml(option.default)
    return [f"# {option.description}", f"# {option.key} = {value}"]


def render_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    document = msgspec.json.schema(configuration.Configuration)
    for option in options(configuration.Configuration):
        name = type(getattr(configuration.Configuration(), option.table)).__name__
        document["$defs"][name]["properties"][option.key]["description"] = option.description
        document["$defs"][name]["additionalProperties"] = False
    return document


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
