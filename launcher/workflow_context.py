r"""Reads parameters from the context of a scheduler's workflow, which earlier steps have added to.

The format is PowerJob's: an object whose values are texts as soon as a step has added one (`"port": "8000"`,
`"environ": "{\"A\": \"1\"}"`); the text with which the workflow was started is its content, or, where it is not a
JSON object, the value of `initParams` (WorkflowInstanceManager of powerjob-server-core 5.1.1).
"""

import json
from collections.abc import Mapping
from typing import Any

from tracetail.launcher.params import FIELDS, ParametersError, flag_types
from tracetail.launcher.params_input import known, normalize

KEY = "context"
_INIT_PARAMS = "initParams"
_TEXTS = frozenset(name for name, attribute in FIELDS.items() if flag_types().get(attribute) is str)


def with_context(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with those of their `context` on top, normalized. Raises ParametersError.

    Keys of the context that are no parameters are ignored. The `action` is each step's own, if it has one.
    """
    values = dict(given)
    context = values.pop(KEY, None)
    if context is None:
        return values
    if not isinstance(context, dict):
        raise ParametersError(f"{KEY}: expected an object")
    own = normalize(values)
    found = {**_parameters(_initial(context.get(_INIT_PARAMS))), **_parameters(context)}
    if "action" in own:
        found.pop("action", None)
    return {**own, **found}


def _initial(text: Any) -> dict[str, Any]:
    """Return the object with which the workflow was started; {} if it is another text."""
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _parameters(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters among the entries of a context. Raises ParametersError."""
    entries = {name: value for name, value in context.items() if value not in (None, "")}
    try:
        return normalize({name: _typed(name, value) for name, value in known(entries).items()})
    except ParametersError as error:
        raise ParametersError(f"{KEY}: {error}") from error


def _typed(name: str, value: Any) -> Any:
    """Return the value of a parameter that is no text from its JSON; the text where that is not possible."""
    if not isinstance(value, str):
        return value
    if name in _TEXTS and not (name == "env" and value.startswith("{")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
