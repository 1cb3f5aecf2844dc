"""The parameters of a launch: one JSON object, camelCase or snake_case, typed and checked.

`PARAMS` is what may stand in it; the field's description is its documentation, in the JSON Schema too.
"""

import difflib
import json
import os
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tracetail.contract.identity import InvalidIdError, check_id
from tracetail.launcher import engines

ENVS = ("dev", "test", "prod")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ParametersError(ValueError):
    """Parameters cannot be used; the message is one line that says what to change."""


class Smoke(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A prompt and what its answer must match."""

    prompt: str
    pattern: Annotated[str, Meta(description="regular expression that must be found in the answer")]
    max_tokens: Annotated[int, Meta(ge=1)] = 32


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What `tracetail start` and its kin are told."""

    action: Annotated[
        Literal["start", "stop", "restart", "status"], Meta(description="what `tracetail apply` does")
    ] = "start"
    service: Annotated[
        str, Meta(description="table of defaults in the configuration: [launcher.services.<name>]")
    ] = ""
    model_name: Annotated[str, Meta(description="name of the service, in labels and commands (required)")] = ""
    served_name: Annotated[str, Meta(description="name under which the API serves it (modelName)")] = ""
    model_path: Annotated[str, Meta(description="directory of the model, or its name at a hub")] = ""
    port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None, Meta(description="port to serve at (8000; none for custom)")
    ] = None
    host: Annotated[str, Meta(description="address to serve at (all interfaces)")] = ""
    engine: Annotated[
        Literal["", "vllm", "sglang", "mindie", "custom"],
        Meta(description="inference engine (vllm; custom when `command` is given)"),
    ] = ""
    command: Annotated[
        list[str], Meta(description="custom: argument list; {port} {modelPath} {modelName} are filled in")
    ] = []
    python_bin: Annotated[str, Meta(description="Python of the engine's environment (python3)")] = ""
    args: Annotated[list[str], Meta(description="further arguments of the engine")] = []
    environ: Annotated[dict[str, str], Meta(description="further environment variables")] = {}
    devices: Annotated[list[str], Meta(description="indices of the devices to use, for instance [0, 1]")] = []
    work_dir: Annotated[str, Meta(description="directory to start in")] = ""
    pre_start: Annotated[
        list[str], Meta(description="command to run before the server; its failure fails the start")
    ] = []
    env: Annotated[Literal["dev", "test", "prod"], Meta(description="label; an object is taken as `environ`")] = (
        "test"
    )
    trace_id: Annotated[str, Meta(description="trace of the test platform (a new one)")] = ""
    instance_id: Annotated[
        str, Meta(description="the scheduler's id of this run (PowerJob's, else the launchId)")
    ] = ""
    job_id: Annotated[str, Meta(description="the scheduler's id of the job")] = ""
    ready_when: Annotated[
        str, Meta(description="http, port, alive or log:<regex> (http; alive for a custom without a port)")
    ] = ""
    ready_path: Annotated[str, Meta(description="path that answers 200 when the server is ready (/health)")] = ""
    ready_timeout_sec: Annotated[float, Meta(gt=0, description="seconds until a start has failed")] = 900.0
    stop_timeout_sec: Annotated[float, Meta(ge=0, description="seconds from SIGTERM to SIGKILL")] = 30.0
    warmup: Annotated[bool, Meta(description="have a real token made before the server counts as ready")] = False
    smoke: Annotated[Smoke | None, Meta(description="prompt, and pattern that its answer must match")] = None
    if_running: Annotated[
        Literal["", "reuse", "restart", "fail"],
        Meta(description="what to do if the service runs (reuse if the parameters are equal, else restart)"),
    ] = ""
    restart: Annotated[Literal["never", "on-crash"], Meta(description="start anew after a crash")] = "never"
    callback_url: Annotated[str, Meta(description="where to report ready, failed, stopped, crashed")] = ""
    callback_token_file: Annotated[str, Meta(description="file with a bearer token for callbackUrl")] = ""
    api_key_file: Annotated[str, Meta(description="file with the API key of the server")] = ""
    log_dir: Annotated[str, Meta(description="directory of the logs (<stateDir>/logs)")] = ""
    max_log_mb: Annotated[int, Meta(ge=1, description="size of a log segment in MiB")] = msgspec.field(
        default=200, name="maxLogMB"
    )
    keep_logs: Annotated[int, Meta(ge=1, description="how many segments of a launch are kept")] = 20
    script_path: Annotated[str, Meta(description="command of a custom; else ignored, with a warning")] = ""


EMPTY = Params()
FIELDS = {f.encode_name: f.name for f in msgspec.structs.fields(Params)}
"""camelCase name → attribute."""
_ALIASES = {**FIELDS, **{attribute: attribute for attribute in FIELDS.values()}, "maxLogMb": "max_log_mb"}
_BY_ATTRIBUTE = {attribute: name for name, attribute in FIELDS.items()}

_CHOICES = {
    "action": ("start", "stop", "restart", "status"),
    "engine": engines.NAMES,
    "env": ENVS,
    "ifRunning": ("reuse", "restart", "fail"),
    "restart": ("never", "on-crash"),
}
_WORDS = (
    ("`int` <= 65535", "a port from 1 to 65535"),
    ("`int` >= 1", "a number from 1"),
    ("`array`", "a list"),
    ("`object`", "an object"),
    ("`str`", "a string"),
    ("`bool`", "true or false"),
    ("`float`", "a number"),
    ("`int`", "a whole number"),
    (" | null", ""),
    ("`null`", "null"),
)
_MAY_HOLD_SECRETS = frozenset({"environ", "args", "command", "preStart", "callbackUrl", "smoke"})

# Two starts that differ only in these are the same start.
NOT_COMPARED = frozenset(
    {
        "action",
        "ifRunning",
        "jobId",
        "instanceId",
        "callbackUrl",
        "callbackTokenFile",
        "readyTimeoutSec",
        "stopTimeoutSec",
    }
)


def parse_json(text: str) -> dict[str, Any]:
    """Return the object in a JSON text. Raises ParametersError."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ParametersError("the parameters are not valid JSON: nested too deeply") from error
    except ValueError as error:
        raise ParametersError(f"the parameters are not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ParametersError(f"the parameters must be a JSON object, not {_kind(value)}")
    return value


def from_object(given: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]] | None = None) -> Params:
    """Check and complete parameters. Raises ParametersError.

    Args:
        given: keys in camelCase or snake_case.
        services: tables of defaults, by name.

    """
    return _complete(convert(with_defaults(normalize(given), services or {})))


def with_defaults(values: dict[str, Any], services: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return parameters with the defaults of the service that they name. Raises ParametersError if there is none."""
    name = values.get("service")
    if not name:
        return values
    if not isinstance(name, str) or name not in services:
        known_names = ", ".join(services) or "none"
        raise ParametersError(f"service {name!r} is not in the configuration; known are: {known_names}")
    defaults = normalize(services[name], where=f"launcher.services.{name}: ")
    environ = {**_mapping(defaults.get("environ")), **_mapping(values.get("environ"))}
    return {**defaults, **values, **({"environ": environ} if environ else {})}


def known(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of some parameters has a known key, in camelCase: the rest of a start that is refused."""
    return {_BY_ATTRIBUTE[_ALIASES[key]]: value for key, value in given.items() if key in _ALIASES}


def normalize(given: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return the parameters with camelCase keys. Raises ParametersError for an unknown or doubled key."""
    values: dict[str, Any] = {}
    for key, value in given.items():
        attribute = _ALIASES.get(key)
        if attribute is None:
            by_case = [name for name in FIELDS if name.lower() == key.lower().replace("_", "").replace("-", "")]
            close = by_case or difflib.get_close_matches(key, [*FIELDS, *FIELDS.values()], n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]}?" if close else f"; known are: {', '.join(FIELDS)}"
            raise ParametersError(f"{where}unknown parameter {key!r}{hint}")
        name = _BY_ATTRIBUTE[attribute]
        if name in values:
            raise ParametersError(f"{where}{name} is given twice, as {name} and as {attribute}")
        values[name] = value
    if isinstance(values.get("env"), dict):  # the original design's `env` held variables
        values["environ"] = {**values.pop("env"), **_mapping(values.get("environ"))}
    if isinstance(values.get("env"), str) and values["env"] not in ENVS:
        raise ParametersError(f"{where}env is {values['env']!r}; expected one of {', '.join(ENVS)}")
    return {name: _relaxed(name, value) for name, value in values.items() if value is not None}


def _relaxed(name: str, value: Any) -> Any:
    """Accept what people write: numbers for ids and devices, a string for a number, one word for a list."""
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
    """Type parameters with camelCase keys, without completing them. Raises ParametersError."""
    try:
        return msgspec.convert(values, Params)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `")
        raise ParametersError(
            _explain(message, place.removesuffix("`").removeprefix("$").lstrip("."), values)
        ) from error


def _explain(message: str, key: str, values: Mapping[str, Any]) -> str:
    """Return what is wrong with one parameter, in the words of JSON, and never a value that may be secret."""
    top = re.split(r"[.\[]", key)[0]
    message = message[0].lower() + message[1:]
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    choices = _CHOICES.get(top)
    if choices and isinstance(values.get(top), str):
        message = f"expected one of {', '.join(choices)}"
    if key.endswith("[...]") and isinstance(values.get(top), dict):
        wrong = [name for name, value in values[top].items() if not isinstance(value, str)]
        key = f"{top}.{wrong[0]}" if wrong else top
    if top in _MAY_HOLD_SECRETS or not isinstance(values.get(top), (str, int, float)):
        return f"{key}: {message}"
    return f"{key} is {_shorten(json.dumps(values[top], ensure_ascii=False))}: {message}"


def _complete(params: Params) -> Params:
    """Fill in what follows from the rest. Raises ParametersError for what cannot be."""
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
    changes: dict[str, Any] = {}
    engine = params.engine or default_engine(params.command)
    changes["engine"] = engine
    known = engines.load(engine)
    if engine == "custom" and not params.command and params.script_path:
        changes["command"] = [params.script_path]
    elif engine == "custom" and not params.command:
        raise ParametersError(
            'engine custom needs `command`: a list of arguments, for instance ["python", "serve.py"]'
        )
    elif engine != "custom" and params.command:
        raise ParametersError(f"`command` is for engine custom, not for {engine}: use `args`")
    if engine != "custom" and not params.model_path:
        raise ParametersError(f"modelPath is missing: engine {engine} needs a model's directory or name")
    if params.port is None:
        changes["port"] = known.default_port
    port = params.port or known.default_port
    changes["served_name"] = params.served_name or params.model_name
    changes["ready_path"] = params.ready_path or known.ready_path
    changes["ready_when"] = _ready_when(params, port)
    changes["python_bin"] = params.python_bin or "python3"
    for name, url in (("callbackUrl", params.callback_url),):
        if url and not re.match(r"https?://[^/\s]+", url):
            raise ParametersError(f"{name}: expected http://… or https://…, not {url.partition(':')[0][:20]}:…")
    for name in params.environ:
        if not _ENV_NAME.fullmatch(name):
            raise ParametersError(f"environ: {name!r} is not the name of a variable")
    for name, value in to_object(params).items():
        _check_text(name, value)
    for attribute in ("model_path", "python_bin"):
        changes[attribute] = os.path.expanduser(changes.get(attribute) or getattr(params, attribute))  # noqa: PTH111
    for attribute in ("work_dir", "log_dir", "api_key_file", "callback_token_file"):
        path = getattr(params, attribute)
        # The keeper and its helpers run in another directory than the caller.
        changes[attribute] = os.path.abspath(os.path.expanduser(path)) if path else ""  # noqa: PTH100, PTH111
    if (params.warmup or params.smoke) and port is None:
        raise ParametersError("warmup and smoke need a port")
    if params.smoke is not None:
        _check_regex("smoke.pattern", params.smoke.pattern)
    return msgspec.structs.replace(params, **changes)


def _check_text(name: str, value: Any) -> None:
    """Raise ParametersError for text that no process can be given."""
    if isinstance(value, dict):
        for key, inside in value.items():
            _check_text(f"{name}.{key}", inside)
    elif isinstance(value, list):
        for inside in value:
            _check_text(name, inside)
    elif isinstance(value, str):
        if "\0" in value:
            raise ParametersError(f"{name} holds a NUL character")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise ParametersError(f"{name} holds half of a character (a lone surrogate)")


def default_engine(command: Sequence[str]) -> str:
    """Return the engine that is meant when none is named."""
    return "custom" if command else "vllm"


def _ready_when(params: Params, port: int | None) -> str:
    by_engine = engines.load(params.engine or default_engine(params.command)).ready_when
    wanted = params.ready_when or ("alive" if port is None else by_engine)
    if wanted.startswith("log:"):
        _check_regex("readyWhen", wanted.removeprefix("log:"))
    elif wanted not in ("http", "port", "alive"):
        raise ParametersError(f"readyWhen is {wanted!r}: expected http, port, alive or log:<regex>")
    elif wanted in ("http", "port") and port is None:
        raise ParametersError(f"readyWhen {wanted} needs a port")
    return wanted


def _check_regex(name: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ParametersError(f"{name}: {pattern!r} is not a regular expression: {error}") from error


def to_object(params: Params) -> dict[str, Any]:
    """Return the parameters as they would be given, without those that are as by default."""
    values = msgspec.to_builtins(params)
    defaults = msgspec.to_builtins(EMPTY)
    return {name: value for name, value in values.items() if value != defaults[name]}


def same_start(running: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Say whether two starts (as of to_object) ask for the same server. An absent traceId asks for any trace."""
    ignored = NOT_COMPARED if wanted.get("traceId") else NOT_COMPARED | {"traceId"}
    return {k: v for k, v in running.items() if k not in ignored} == {
        k: v for k, v in wanted.items() if k not in ignored
    }


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the parameters."""
    document = msgspec.json.schema(Params)
    document["$defs"]["Params"]["required"] = ["modelName"]
    return document


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:60] + "…"


def description(attribute: str) -> str:
    """Return a parameter's one line of explanation."""
    hint = typing.get_type_hints(Params, include_extras=True)[attribute]
    notes = getattr(hint, "__metadata__", ())
    return next((note.description for note in notes if isinstance(note, Meta) and note.description), "")


def flag_types() -> dict[str, type]:
    """Return attribute → type for the parameters that are also command line flags (the plain ones)."""
    found: dict[str, type] = {}
    for name, hint in typing.get_type_hints(Params).items():
        if hint in (str, int, float, bool):
            found[name] = hint
        elif hint == (int | None):
            found[name] = int
        elif typing.get_origin(hint) is Literal:
            found[name] = str
    return found
