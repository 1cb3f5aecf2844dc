"""`tracetail config`: prints an example or a JSON Schema, and checks a configuration file."""

import json
import os
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from tracetail.cli import configuration
from tracetail.cli.errors import BAD_USAGE, fail
from tracetail.cli.options import REQUIRED, Option, header_of, keys_inside, options, tables
from tracetail.launcher import params as parameters
from tracetail.launcher import params_input

_HEAD = """\
# tracetail.toml: every option with its default.
# Searched at --config, $TRACETAIL_CONFIG, ~/.config/tracetail/tracetail.toml, /etc/tracetail/tracetail.toml.
# Each key can also be set by an environment variable: [loki] url is TRACETAIL_LOKI_URL.
"""


@click.group()
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
    from tracetail.agent.reading.globs import unmatched

    named = file or ctx.obj
    try:
        loaded = configuration.load(named)
        path = configuration.config_path(named, os.environ)
    except configuration.ConfigurationError as error:
        fail(str(error), BAD_USAGE)
    for name, table in loaded.launcher.services.items():
        try:
            params_input.convert(params_input.normalize(table))
        except parameters.ParametersError as error:
            fail(f"{path}: launcher.services.{name}: {error}", BAD_USAGE)
    try:
        check_labels(loaded.agent)
    except BadSettingsError as error:
        fail(f"{path}: {error}", BAD_USAGE)
    for sentence in unmatched(loaded.agent.sources):
        click.echo(f"warning: {sentence}", err=True)
    click.echo(f"ok: {path}" if path else "ok: no configuration file, defaults and environment variables only")


@config.command()
@click.pass_context
def grafana(ctx: click.Context) -> None:
    """Print Grafana's data source for this Loki, secrets included: a file of its provisioning/datasources."""
    from tracetail.loki.settings import LokiSettingsError

    try:
        loki = configuration.load(ctx.obj).loki
        headers = loki.headers()
    except (configuration.ConfigurationError, LokiSettingsError) as error:
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
    lines = [_HEAD]
    for table, found in tables(configuration.Configuration).items():
        lines.append(f"\n[{table}]")
        nested = [option for option in found if keys_inside(option)]
        lines += [line for option in found if option not in nested for line in _lines(option)]
        for option in nested:
            header = header_of(option)
            each = ": one such table for each" if header.startswith("[[") else ""
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
