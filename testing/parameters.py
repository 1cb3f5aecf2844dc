"""The parameters of the server under test: of the ini file, then of the fixture, then of the marker."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tracetail.testing.plugin import SERVER

_PARAMS = "inference_server_params"


def parameters(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the parameters for a request of the fixture inference_server; later ones take precedence."""
    try:
        of_fixture = request.getfixturevalue(_PARAMS)
    except pytest.fail.Exception as error:
        if "ScopeMismatch" in str(error):
            scope = request.scope
            pytest.fail(
                f"{_PARAMS} has a narrower scope than {SERVER}: write @pytest.fixture(scope={scope!r}) above it, or "
                "set tracetail_scope = function for a server of its own for each test",
                pytrace=False,
            )
        raise
    if not isinstance(of_fixture, Mapping):
        pytest.fail(f"{_PARAMS} returns {of_fixture!r}: expected a dictionary of parameters", pytrace=False)
    return {**_of_ini(request.config), **of_fixture, **getattr(request, "param", {})}


def with_defaults(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with a free port, if they name none, and a host of this machine."""
    names = set(params)
    defaults: dict[str, Any] = {"port": 0}
    if "host" not in names and "container" not in names:
        defaults["host"] = "127.0.0.1"
    return {**defaults, **params}


def _of_ini(config: pytest.Config) -> dict[str, Any]:
    text = str(config.getini("tracetail_params")).strip()
    if text.startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            problem = str(error)
        # Outside of the handler, so that the report has this error alone.
        pytest.fail(f"tracetail_params is not valid JSON: {problem}", pytrace=False)
    return dict(map(_of_line, filter(None, map(str.strip, text.splitlines()))))


def _of_line(line: str) -> tuple[str, Any]:
    name, equals, value = line.partition("=")
    if not equals:
        pytest.fail(
            f"tracetail_params: {line!r} is not `name = value`, nor do the lines make a JSON object", pytrace=False
        )
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()
