"""Reads the parameters of a launch from JSON: normalises keys, applies defaults, converts types, checks values."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tracetail.contract.identity import InvalidIdError, check_id
from tracetail.launcher import engines
from tracetail.launcher.engines import nodes
from tracetail.launcher.params import (
    ACTIONS,
    CONTAINER_FIELDS,
    CONTAINER_RUNTIMES,
    ENVS,
    FIELDS,
    ParametersError,
    Params,
    default_engine,
    to_object,
)

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_URL = re.compile(
    r"https?://(?:[^\s/?#]*@)?(?:\[[^\s\]]*\]|[^\s/?#@:\[\]]+)(?::(?P<port>\d{1,5}))?(?:[/?][^\s#]*)?(?:#.*)?",
    re.DOTALL,
)
"""Behind # there may be a robot's template, with blanks."""
_PORT_MAX = 65535


class _Names:
    """The keys of an object, in camelCase and snake_case."""

    def __init__(self, fields: Mapping[str, str], **more: str) -> None:
        """Args: fields: camelCase name → attribute; more: further names of attributes."""
        self.fields = fields
        self.attributes = {**fields, **{attribute: attribute for attribute in fields.values()}, **more}
        self.by_attribute = {attribute: name for name, attribute in fields.items()}


_NAMES = _Names(FIELDS, maxLogMb="max_log_mb")
_CONTAINER_NAMES = _Names(CONTAINER_FIELDS)

_CHOICES = {
    "action": ACTIONS,
    "engine": engines.NAMES,
    "env": ENVS,
    "livenessProbe": ("health", "token", "none"),
    "ifRunning": ("reuse", "restart", "fail"),
    "restart": ("never", "on-crash"),
    "container.runtime": CONTAINER_RUNTIMES,
    "container.pull": ("missing", "always", "never"),
}
_WORDS = (
    (" | null", ""),
    ("`int` <= 65535", "a port from 1 to 65535"),
    ("`int` >= 1", "a number from 1"),
    ("`float` > 0.0", "a number over 0"),
    ("`array`", "a list"),
    ("`object`", "an object"),
    ("`str`", "a string"),
    ("`bool`", "true or false"),
    ("`float`", "a number"),
    ("`int`", "a whole number"),
    ("`null`", "null"),
)
_MAY_HOLD_SECRETS = frozenset({"environ", "args", "command", "preStart", "callbackUrl", "smoke", "container"})


def parse_json(text: str) -> dict[str, Any]:
    """Return the JSON object in a text. Raises ParametersError if there is none."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError as error:
        raise ParametersError("the parameters are not valid JSON: nested too deeply") from error
    except json.JSONDecodeError as error:
        if not text.strip():
            raise ParametersError("the parameters are empty: expected a JSON object, at least {}") from error
        found = repr(text[error.pos]) if error.pos < len(text) else "the end"
        place = f"line {error.lineno} column {error.colno}"
        raise ParametersError(f"the parameters are not valid JSON: {error.msg}: {place}, found {found}") from error
    except ValueError as error:
        raise ParametersError(f"the parameters are not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ParametersError(f"the parameters must be a JSON object, not {_kind(value)}")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; of a key that is there twice `json` would silently drop the first value."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ParametersError(f"{key!r} is given twice: leave one of them out")
        values[key] = value
    return values


def from_object(given: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]] | None = None) -> Params:
    """Return checked and completed parameters. Raises ParametersError.

    Args:
        given: keys in camelCase or snake_case.
        services: tables of defaults, by name.

    """
    return _complete(convert(with_defaults(normalize(given), services or {})))


def with_defaults(values: dict[str, Any], services: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return parameters with the defaults of the service that they name.

    Raises ParametersError if the configuration has no such service.
    """
    name = values.get("service")
    if not name:
        return values
    if not isinstance(name, str) or name not in services:
        if not services:
            raise ParametersError(f"service {name!r} is not in the configuration, which has none")
        raise ParametersError(f"service {name!r} is not in the configuration; known are: {', '.join(services)}")
    defaults = normalize(services[name], where=f"launcher.services.{name}: ")
    merged = {key: {**_mapping(defaults.get(key)), **_mapping(values.get(key))} for key in ("environ", "container")}
    return {**defaults, **values, **{key: value for key, value in merged.items() if value}}


def known(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that have known keys, in camelCase: for the record of a start that is refused."""
    names = _NAMES
    return {
        names.by_attribute[names.attributes[key]]: value for key, value in given.items() if key in names.attributes
    }


def normalize(given: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return parameters with camelCase keys. Raises ParametersError for an unknown or repeated key.

    where: prefix of messages, for parameters from the configuration.
    """
    values = _camel_case(given, _NAMES, where)
    if isinstance(values.get("env"), dict):  # the original design's `env` held variables
        values["environ"] = {**values.pop("env"), **_mapping(values.get("environ"))}
    if isinstance(values.get("env"), str) and values["env"] not in ENVS:
        raise ParametersError(f"{where}env is {values['env']!r}; expected one of {', '.join(ENVS)}")
    if isinstance(values.get("container"), str):
        values["container"] = {"image": values["container"]}
    if isinstance(values.get("container"), dict):
        inside = _camel_case(values["container"], _CONTAINER_NAMES, f"{where}container: ")
        from tracetail.launcher.containers import container_input  # noqa: PLC0415  (only for a container)

        values["container"] = container_input.relaxed(inside)
    return {name: _relaxed(name, value) for name, value in values.items() if value is not None}


def _camel_case(given: Mapping[str, Any], names: _Names, where: str) -> dict[str, Any]:
    """Return an object with camelCase keys. Raises ParametersError for an unknown or repeated key."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        attribute = names.attributes.get(key)
        if attribute is None:
            fields = names.fields
            by_case = [name for name in fields if name.lower() == key.lower().replace("_", "").replace("-", "")]
            import difflib  # noqa: PLC0415  (only for what is wrong)

            close = by_case or difflib.get_close_matches(key, [*fields, *fields.values()], n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]}?" if close else f"; known are: {', '.join(fields)}"
            raise ParametersError(f"{where}unknown parameter {key!r}{hint}")
        name = names.by_attribute[attribute]
        if name in values:
            raise ParametersError(f"{where}{name} is given twice, as {name} and as {attribute}")
        values[name] = value
    return values


def _relaxed(name: str, value: Any) -> Any:
    """Return a value in its proper type if it was given in another one: a number as an id, a string as a list."""
    if name == "devices":
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]
        return [str(part).strip() for part in parts if str(part).strip()]
    if name in ("instanceId", "jobId", "traceId") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name == "environ" and isinstance(value, dict):
        return {k: str(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v for k, v in value.items()}
    if name == "args" and isinstance(value, list):
        return [str(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else v for v in value]
    if name == "port" and isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def convert(values: dict[str, Any]) -> Params:
    """Return typed parameters from an object with camelCase keys, without completing them. Raises ParametersError."""
    try:
        return msgspec.convert(values, Params)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        raise ParametersError(
            _explain(message, place.removesuffix("`").removeprefix("$").lstrip("."), values)
        ) from error


def _explain(message: str, key: str, values: Mapping[str, Any]) -> str:
    """Return msgspec's message about one parameter in the words of JSON, without a value that may be secret."""
    top = re.split(r"[.\[]", key)[0]
    message = message[0].lower() + message[1:]
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    choices = _CHOICES.get(key)
    if choices and (isinstance(values.get(top), str) or key != top):
        message = f"expected one of {', '.join(choices)}"
    if key.endswith("[...]") and isinstance(values.get(top), dict):
        wrong = [name for name, value in values[top].items() if not isinstance(value, str)]
        key = f"{top}.{wrong[0]}" if wrong else top
    if top in _MAY_HOLD_SECRETS or not isinstance(values.get(top), (str, int, float)):
        return f"{key}: {message}"
    return f"{key} is {_shorten(json.dumps(values[top], ensure_ascii=False))}: {message}"


def _complete(params: Params) -> Params:
    """Return the parameters with everything filled in that follows from the others. Raises ParametersError."""
    _check_names(params)
    engine_name = params.engine or default_engine(params.command)
    engine = engines.load(engine_name)
    command = _command(params, engine_name)
    for name, value in to_object(params).items():
        check_text(name, value)
    port = params.port or engine.default_port
    place = nodes.place_of(engine_name, command or params.args, params.nodes, params.node_rank)
    params = _at_its_place(params, place)
    if place.role == nodes.FOLLOWER:
        port = None
        default = nodes.ready_when(engine_name, command or params.args)
        params = msgspec.structs.replace(params, ready_when=params.ready_when or default)
    ready_when = _ready_when(params, engine, port)
    _check_probes(params, port)
    container = params.container
    if container is not None:
        from tracetail.launcher.containers import container_input  # noqa: PLC0415

        container = container_input.complete(container)
    return msgspec.structs.replace(
        params,
        engine=engine_name,
        command=command,
        container=container,
        port=port,
        served_name=params.served_name or params.model_name,
        ready_path=params.ready_path or engine.ready_path,
        ready_when=ready_when,
        model_path=os.path.expanduser(params.model_path),  # noqa: PTH111  (may be a name at a hub)
        python_bin=os.path.expanduser(params.python_bin or "python3"),  # noqa: PTH111  (may be a name on PATH)
        # In a container it is a directory of the image.
        work_dir=_absolute(params.work_dir) if params.container is None else params.work_dir,
        log_dir=_absolute(params.log_dir),
        api_key_file=_absolute(params.api_key_file),
        callback_token_file=_absolute(params.callback_token_file),
    )


def _at_its_place(params: Params, place: nodes.Place) -> Params:
    """Return the parameters with what follows from the place of the machine. Raises ParametersError."""
    if place.rank is not None and place.nodes is not None and place.rank >= place.nodes:
        raise ParametersError(f"nodeRank is {place.rank}: {place.nodes} nodes are numbered from 0")
    params = msgspec.structs.replace(params, nodes=place.nodes, node_rank=place.rank)
    if place.role and params.ready_timeout_sec == Params().ready_timeout_sec:
        params = msgspec.structs.replace(params, ready_timeout_sec=nodes.READY_TIMEOUT_SECONDS)
    if place.role != nodes.FOLLOWER:
        return params
    if params.ready_when in ("http", "port"):
        reason = "a follower has no API of its own: leave it out, or use alive or log:<regex>"
        raise ParametersError(f"readyWhen is {params.ready_when!r}: {reason}")
    # What asks the API is for the leader: all machines may get the same parameters.
    liveness = "health" if params.liveness_probe == "token" else params.liveness_probe
    return msgspec.structs.replace(params, warmup=False, smoke=None, liveness_probe=liveness)


def _check_names(params: Params) -> None:
    if not params.model_name:
        raise ParametersError("modelName is missing: the name of the service, for instance qwen-7b")
    if not params.model_name.isprintable() or len(params.model_name) > 200:
        raise ParametersError("modelName must be printable text of at most 200 characters")
    for name, value in (("traceId", params.trace_id), ("instanceId", params.instance_id)):
        if value:
            try:
                check_id(name, value)
            except InvalidIdError as error:
                raise ParametersError(str(error)) from error
    if "\n" in params.job_id or len(params.job_id) > 200:
        raise ParametersError("jobId must be one line of at most 200 characters")
    url = params.callback_url
    if url and not re.match(r"https?://[^/\s]+", url):
        raise ParametersError(f"callbackUrl: expected http://… or https://…, not {url.partition(':')[0][:20]}:…")
    if url and ((found := _URL.fullmatch(url)) is None or int(found["port"] or 0) > _PORT_MAX):
        raise ParametersError("callbackUrl has a blank, or a host or port that there cannot be")
    if url:
        from tracetail.contract import robots  # noqa: PLC0415  (only for a callback)

        try:
            robots.check(url)
        except ValueError as error:
            raise ParametersError(f"callbackUrl: {error}") from error
    for name in params.environ:
        if not _ENV_NAME.fullmatch(name):
            raise ParametersError(f"environ: {name!r} is not the name of a variable")


def _command(params: Params, engine: str) -> list[str]:
    """Return the command of a custom engine. Raises ParametersError if what the engine needs is missing."""
    if engine == "custom":
        command = params.command or ([params.script_path] if params.script_path else [])
        if not command and params.container is None:  # an image may have a command of its own
            raise ParametersError(
                'engine custom needs `command`: a list of arguments, for instance ["python", "serve.py"]'
            )
        return command
    if params.command:
        raise ParametersError(f"`command` is for engine custom, not for {engine}: use `args`")
    if not params.model_path:
        raise ParametersError(f"modelPath is missing: engine {engine} needs a model's directory or name")
    return []


def _absolute(path: str) -> str:
    """Return an absolute path, because the keeper runs in another directory than the caller; "" for ""."""
    return os.path.abspath(os.path.expanduser(path)) if path else ""  # noqa: PTH100, PTH111


def _check_probes(params: Params, port: int | None) -> None:
    if (params.warmup or params.smoke) and port is None:
        raise ParametersError("warmup and smoke need a port")
    if params.liveness_probe == "token" and port is None:
        raise ParametersError("livenessProbe token needs a port")
    if params.smoke is not None:
        _check_regex("smoke.pattern", params.smoke.pattern)


def check_text(name: str, value: Any) -> None:
    """Raise ParametersError for text that cannot be an argument or a variable of a process."""
    if isinstance(value, dict):
        for key, inside in value.items():
            check_text(f"{name}.{key}", inside)
    elif isinstance(value, list):
        for inside in value:
            check_text(name, inside)
    elif isinstance(value, str):
        if "\0" in value:
            raise ParametersError(f"{name} holds a NUL character")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise ParametersError(f"{name} holds half of a character (a lone surrogate)")


def _ready_when(params: Params, engine: engines.Engine, port: int | None) -> str:
    ready_when = params.ready_when or ("alive" if port is None else engine.ready_when)
    if ready_when.startswith("log:"):
        _check_regex("readyWhen", ready_when.removeprefix("log:"))
    elif ready_when not in ("http", "port", "alive"):
        raise ParametersError(f"readyWhen is {ready_when!r}: expected http, port, alive or log:<regex>")
    elif ready_when in ("http", "port") and port is None:
        raise ParametersError(f"readyWhen {ready_when} needs a port")
    return ready_when


def _check_regex(name: str, pattern: str) -> None:
    """Raise ParametersError unless RE2 has the pattern: unlike `re`, it takes linear time whatever the text."""
    import re2  # noqa: PLC0415  (few launches have a pattern)

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
        raise ParametersError(
            f"{name}: {pattern!r} is not a regular expression of RE2: {reason}; it has no lookaround (?=…) and no "
            r"backreferences \1: https://github.com/google/re2/wiki/Syntax"
        ) from error


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"
