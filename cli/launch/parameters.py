"""Reads the parameters of a launch from a command line: the JSON of `--params`, and flags, which take precedence."""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracetail.cli.language import both
from tracetail.contract import state
from tracetail.launcher import params_input
from tracetail.launcher.engines import flag_value
from tracetail.launcher.params import ParametersError

if TYPE_CHECKING:
    from tracetail.launcher.registry import Launch
    from tracetail.launcher.selection import Selection
    from tracetail.launcher.settings import LauncherSettings

CONTAINER_PREFIX = "container_"
"""Of the names of flags whose parameters are in `container`."""

_FLAGS_OF_A_REFUSAL = ("trace_id", "instance_id", "job_id", "model_name", "env", "engine")


def read(given: str | None) -> dict[str, Any]:
    """Return the JSON object of --params as it stands. Raises ParametersError."""
    if given is None:
        text = "{}"
    elif given == "-" or given.startswith("@"):
        try:
            content = sys.stdin.buffer.read() if given == "-" else Path(given[1:]).read_bytes()
            text = content.decode("utf-8-sig")  # Windows' editors put a byte order mark in front
        except UnicodeDecodeError as error:
            raise ParametersError(f"--params {given} cannot be read: it is not UTF-8 ({error})") from error
        except OSError as error:
            raise ParametersError(f"--params {given} cannot be read: {error.strerror or error}") from error
    else:
        text = given
    return params_input.parse_json(text)


def merge(given: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with the flags that were set on top, both normalized. Raises ParametersError."""
    set_flags = {name: value for name, value in flags.items() if value is not None and value != ()}
    inside = {
        name.removeprefix(CONTAINER_PREFIX): list(value) if isinstance(value, tuple) else value
        for name, value in set_flags.items()
        if name.startswith(CONTAINER_PREFIX)
    }
    plain = {name: value for name, value in set_flags.items() if not name.startswith(CONTAINER_PREFIX)}
    base = params_input.normalize(given)
    merged = {**base, **params_input.normalize(plain)}
    if inside:
        before = base.get("container")
        changes = params_input.normalize({"container": inside})["container"]
        merged["container"] = {**before, **changes} if isinstance(before, dict) else changes
    return merged


def with_environment_ids(values: dict[str, Any]) -> dict[str, Any]:
    """Return normalized parameters with the ids that the environment gives where they have none; print warnings."""
    from tracetail.launcher import schedulers

    ids, warnings = schedulers.environment_ids(os.environ)
    for warning in warnings:
        click.echo(both(f"warning: {warning}", f"警告：{warning}"), err=True)
    found = {"traceId": ids.trace_id, "instanceId": ids.instance_id}
    return values | {name: value for name, value in found.items() if value and not values.get(name)}


def from_bad_command_line(args: list[str]) -> dict[str, Any]:
    """Return the parameters found in a command line that click refuses, so that its refusal can name the trace."""
    found: dict[str, Any] = {}
    with contextlib.suppress(ParametersError):
        found = read(flag_value(args, "--params"))
    for name in _FLAGS_OF_A_REFUSAL:
        value = flag_value(args, "--" + name.replace("_", "-"))
        if value is not None:
            found[name] = value
    return found


def settings() -> "LauncherSettings":
    """Return the table [launcher] of the configuration, and mask as it says. Raises ParametersError."""
    from tracetail.cli import config_sources
    from tracetail.contract import masking
    from tracetail.launcher.settings import LauncherSettings

    named = click.get_current_context().obj
    try:
        if not config_sources.is_configured(named):
            return LauncherSettings()
        from tracetail.cli import configuration

        loaded = configuration.load(named)
        masking.use({"extra": loaded.agent.redaction.extra, "keep": loaded.agent.redaction.keep})
    except ValueError as error:
        raise ParametersError(str(error)) from error
    return loaded.launcher


def check_callback_host(url: str, settings: "LauncherSettings") -> None:
    """Raise ParametersError if the configuration does not allow callbacks to the host of a URL; "" is no callback."""
    from tracetail.contract.access import host_refusal

    refused = host_refusal("launcher.allowed_hosts", url, settings.allowed_hosts) if url else None
    if refused:
        raise ParametersError(f"callbackUrl: {refused}")


def selection(values: dict[str, Any], launch_id: str) -> "Selection":
    """Return the launches that the parameters select, defaults of `service` included. Raises ParametersError."""
    from tracetail.launcher.selection import Selection

    if values.get("service"):
        values = params_input.with_defaults(values, settings().services)
    return Selection(values, launch_id=launch_id)


def one_launch(values: dict[str, Any], launch_id: str) -> "Launch":
    """Return the one launch that is selected: the newest that runs, else the newest. Raises ParametersError.

    For root it returns in a process that has become the launch's owner.
    """
    from tracetail.launcher.operations.as_owner import go_on_as_owner

    selected = selection(values, launch_id)
    found = selected.live(state_dir()) or selected.find(state_dir())
    if not found:
        raise ParametersError(f"there is no launch of {selected.describe()}")
    go_on_as_owner(found[0].dir)
    return found[0]


def state_dir() -> Path:
    """Return the state directory of this process's environment."""
    return state.state_dir(os.environ)
