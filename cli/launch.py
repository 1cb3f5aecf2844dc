"""`tracetail start`, `stop`, `restart`, `status`, `apply`, `ps` and their kin: the launcher's commands."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from tracetail.contract import state
from tracetail.contract.record import Phase, Record
from tracetail.launcher import params as parameters
from tracetail.launcher.engines import flag_value
from tracetail.launcher.params import ParametersError
from tracetail.launcher.result import BAD_PARAMETERS, OK, PREFLIGHT_FAILED, REFUSED, Refusal, Result

if TYPE_CHECKING:
    from tracetail.launcher import registry
    from tracetail.launcher.selection import Selection
    from tracetail.launcher.settings import LauncherSettings

TAIL_LINES = 20
TAIL_MAX = 4000
"""Characters of the last lines. PowerJob keeps 8 KB of what a job prints, of which the result is the last line."""
TAIL_LINE_MAX = 400

Command = Callable[..., None]


class _ResultCommand(click.Command):
    """Ends with a TRACETAIL_RESULT line whatever happens: a scheduler shows that line and nothing else."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        given = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if error.ctx is not None:
                click.echo(error.ctx.get_usage(), err=True)
            wrong = ParametersError(error.format_message().rstrip("."))
            starts = self.name in ("start", "restart", "apply")
            _bad(self.name or "", wrong, _refuse_bad(_flags_of(given), wrong) if starts else None)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            cause = f"{error.filename or 'the state directory'}: {error.strerror or error}"
            result = Result(
                self.name or "", PREFLIGHT_FAILED, cause=cause, hint="TRACETAIL_STATE_DIR names another one"
            )
            _finish(result)


def _flags_of(args: list[str]) -> dict[str, Any]:
    """Return what can be read of a command line that cannot be parsed: by which trace its refusal is to be found."""
    found: dict[str, Any] = {}
    with contextlib.suppress(ParametersError):
        found = _raw(flag_value(args, "--params"))
    for name in ("trace_id", "instance_id", "job_id", "model_name", "env", "engine"):
        value = flag_value(args, "--" + name.replace("_", "-"))
        if value is not None:
            found[name] = value
    return found


def _parameter_options(command: Command) -> Command:
    """Give a command `--params` and one flag for each plain parameter."""
    for attribute, kind in reversed(parameters.flag_types().items()):
        flag = "--" + attribute.replace("_", "-")
        if attribute == "action":
            continue
        option = click.option(
            *((flag + "/--no-" + flag[2:],) if kind is bool else (flag,)),
            attribute,
            type=kind if kind is not bool else None,
            default=None,
            hidden=attribute not in ("model_name", "model_path", "port", "engine", "env", "trace_id", "callback_url"),
            help=parameters.description(attribute),
        )
        command = option(command)
    given = click.option("--params", "given", metavar="JSON|@FILE|-", help="The parameters: JSON, a file, or stdin.")
    return given(command)


def _raw(given: str | None) -> dict[str, Any]:
    """Return the JSON object of --params as it is. Raises ParametersError."""
    if given is None:
        text = "{}"
    elif given == "-":
        try:
            text = sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise ParametersError(f"--params -: {error}") from error
    elif given.startswith("@"):
        try:
            text = Path(given[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ParametersError(f"--params {given}: {error}") from error
    else:
        text = given
    return parameters.parse_json(text)


def _values(given: str | Mapping[str, Any] | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters: the JSON object, flags on top. Raises ParametersError."""
    values = parameters.normalize(given if isinstance(given, Mapping) else _raw(given))
    return {**values, **parameters.normalize({name: value for name, value in flags.items() if value is not None})}


def _settings() -> "LauncherSettings":
    """Return the table [launcher] of the configuration. Raises ParametersError."""
    from tracetail.cli import configuration

    try:
        return configuration.load(click.get_current_context().obj).launcher
    except configuration.ConfigurationError as error:
        raise ParametersError(str(error)) from error


def _selection(values: dict[str, Any], launch_id: str) -> "Selection":
    """Return which launches are meant, a service of the configuration being resolved. Raises ParametersError."""
    from tracetail.launcher.selection import Selection

    if values.get("service"):
        values = parameters.with_defaults(values, _settings().services)
    return Selection(values, launch_id=launch_id)


def _state_dir() -> Path:
    return state.state_dir(os.environ)


def _finish(result: Result) -> NoReturn:
    """Print how it ended, for people and then for programs, and exit."""
    from tracetail.launcher.redacting import mask

    shown = result.to_object(mask)
    if result.tail:
        click.echo("last lines of the log:")
        for line in _shortened(result.tail):
            click.echo("  " + "".join(c if c.isprintable() or c == "\t" else "?" for c in line))
    cause, hint = shown.get("cause"), shown.get("hint")
    if cause and result.status in REFUSED:
        click.echo(f"error: {cause}{f'; {hint}' if hint else ''}", err=True)
    else:
        if cause:
            click.echo(f"{'cause' if result.status else 'note'}: {cause}")
        for line in shown.get("evidence", ()):
            click.echo(f"evidence: {line}")
        if hint:
            click.echo(f"hint: {hint}")
    click.echo(result.line(mask))
    sys.exit(result.status)


def _shortened(tail: Sequence[str]) -> list[str]:
    """Return the last lines as far as there is room for them."""
    shown: list[str] = []
    room = TAIL_MAX
    for line in reversed(tail[-TAIL_LINES:]):
        text = line if len(line) <= TAIL_LINE_MAX else line[:TAIL_LINE_MAX] + "…"
        room -= len(text)
        if room < 0:
            break
        shown.insert(0, text)
    return shown


def _bad(action: str, error: ParametersError, record: Record | None = None) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    click.echo(Result(action, BAD_PARAMETERS, record, cause=str(error)).line())
    sys.exit(BAD_PARAMETERS)


class _Progress:
    """Tells what happens while a start waits: lines for phases, and on a terminal a line that counts the seconds."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self._shown = ""

    def __call__(self, what: str, record: Record, phases: list[Phase]) -> None:
        """Be told of something: see tracetail.launcher.operations.start.Listener."""
        if what == "waiting":
            self._count(record)
            return
        self.clear()
        if what == "launched":
            click.echo(f"launch {record['launchId']} of {record['service']}, traceId {record['traceId']}")
            click.echo(f"log {record['logFile']}")
        elif what == "joined":
            click.echo(
                f"launch {record['launchId']} of {record['service']} is there already: waiting until it is ready"
            )
        elif what == "restarting":
            click.echo(f"stopping launch {record['launchId']} of {record['service']} first")
        for phase in phases:
            click.echo(f"{phase['name']} {phase['seconds']:.1f} s")
        sys.stdout.flush()

    def clear(self) -> None:
        """Take the counting line away."""
        if self._shown:
            click.echo("\r\x1b[K", nl=False)
            self._shown = ""

    def _count(self, record: Record) -> None:
        last = record.get("phases", [])[-1:]
        after = f", after: {last[0]['name']}" if last else ""
        text = f"{record['service']} is starting: {time.monotonic() - self._begun:.0f} s{after}"
        if self._terminal and text != self._shown:
            click.echo(f"\r\x1b[K{text}", nl=False)
            self._shown = text


_scope_option = click.option(
    "--scope", is_flag=True, help="In a systemd scope of its own: a restart of the caller's service spares it."
)


@click.command(cls=_ResultCommand)
@_parameter_options
@_scope_option
def start(given: str | None, scope: bool, **flags: Any) -> None:
    """Start an inference server and wait until it is ready."""
    _start("start", given, flags, scope=scope)


def _start(action: str, given: str | None, flags: Mapping[str, Any], *, scope: bool) -> None:
    from tracetail.launcher.operations import start

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_interrupted(signal.SIGTERM)))
    values: Mapping[str, Any] = {}
    try:
        values = _raw(given)
        values = _values(values, flags)
        settings = _settings()
        params = parameters.from_object(values, settings.services)
    except ParametersError as error:
        _bad(action, error, _refuse_bad(values, error))
    if params.action not in ("start", action):
        _bad(action, ParametersError(f"action is {params.action}: use `tracetail apply`, or leave it out"))
    if params.script_path and params.engine != "custom":
        click.echo(f"warning: scriptPath {params.script_path} is ignored: engine {params.engine} has its own command")
    if params.callback_url.startswith("http://") and params.callback_token_file:
        click.echo("warning: callbackTokenFile goes to callbackUrl unencrypted: use https")
    progress = _Progress()
    try:
        result = start.start(params, _state_dir(), progress, min_free_bytes=settings.min_free_bytes, scope=scope)
    except KeyboardInterrupt:
        sys.exit(_interrupted(signal.SIGINT))
    progress.clear()
    if not result.status:
        shown = result.to_object()
        verb = "runs already" if result.reused else "is ready"
        click.echo(f"{shown['service']} {verb} after {result.seconds:.1f} s" + _at(shown))
    _finish(result._replace(action=action))


def _interrupted(number: signal.Signals) -> int:
    """Say what becomes of the launch; return the exit status of a program that a signal ended."""
    told = "the launch goes on; `tracetail ps` shows it, `tracetail stop` ends it"
    click.echo(f"\nended by {number.name}: {told}")
    click.echo(Result("start", 128 + number, cause=f"ended by {number.name}", hint=told).line())
    return 128 + number


def _at(shown: Mapping[str, Any]) -> str:
    return f" at {shown['url']}" if "url" in shown else ""


def _refuse_bad(values: Mapping[str, Any], error: ParametersError) -> Record | None:
    """Leave a refused launch for bad parameters, if they name a valid traceId by which it will be found."""
    from tracetail.contract.identity import InvalidIdError, check_id
    from tracetail.launcher.operations import start

    values = parameters.known(values)
    trace_id = values.get("traceId")
    try:
        check_id("traceId", trace_id if isinstance(trace_id, str) else "")
    except InvalidIdError:
        return None
    kept: dict[str, Any] = {"traceId": trace_id}
    for name in ("modelName", "port", "env", "engine", "instanceId", "jobId", "logDir"):
        try:
            parameters.convert({name: values[name]})
        except (KeyError, ParametersError):
            continue
        kept[name] = values[name]
    if not str(kept.get("modelName") or "\n").isprintable():
        kept["modelName"] = "unknown"
    try:
        check_id("instanceId", kept.get("instanceId", ""))
    except InvalidIdError:
        kept.pop("instanceId", None)
    params = parameters.convert(kept)
    return start.refuse(params, _state_dir(), Refusal(BAD_PARAMETERS, str(error)))


def _selection_options(command: Command) -> Command:
    command = click.option("--launch", "launch_id", metavar="ID", default="", help="Exactly this launch.")(command)
    command = click.option("--trace-id", default=None, help="Launches of this trace.")(command)
    command = click.option("--env", default=None, help="dev, test or prod.")(command)
    command = click.option("--port", type=int, default=None, help="The service's port.")(command)
    command = click.option("--model-name", default=None, help="The service's name.")(command)
    return click.option("--params", "given", metavar="JSON|@FILE|-", help="The parameters of its start will do.")(
        command
    )


@click.command(cls=_ResultCommand)
@_selection_options
def stop(given: str | None, launch_id: str, **flags: Any) -> None:
    """Stop a server and everything that belongs to its launch."""
    _stop("stop", given, launch_id, flags)


def _stop(action: str, given: str | None, launch_id: str, flags: Mapping[str, Any]) -> None:
    from tracetail.launcher.operations import rescue, stop

    try:
        selection = _selection(_values(given, flags), launch_id)
        rescue.tell_ends(selection.find(_state_dir()))
        launches = selection.live(_state_dir())
    except ParametersError as error:
        _bad(action, error)
    if not launches:
        click.echo(f"nothing runs of {selection.describe()}")
    result = stop.stop(launches, _state_dir())
    if launches and result.status == OK:
        click.echo(f"stopped {result.to_object()['service']} in {result.seconds:.1f} s")
    _finish(result._replace(action=action))


@click.command(cls=_ResultCommand)
@_parameter_options
@click.option("--launch", "launch_id", metavar="ID", default="", help="Exactly this launch.")
@_scope_option
def restart(given: str | None, launch_id: str, scope: bool, **flags: Any) -> None:
    """Stop a server if it runs, then start it: as named, or as it was started before."""
    _restart(given, launch_id, flags, scope=scope)


def _restart(given: str | None, launch_id: str, flags: Mapping[str, Any], *, scope: bool) -> None:
    try:
        values = _values(given, flags)
        if not {"modelPath", "command", "scriptPath", "service"} & set(values):
            values = {**_params_before(_selection(values, launch_id)), **values}
    except ParametersError as error:
        _bad("restart", error)
    _start("restart", json.dumps({**values, "ifRunning": "restart"}), {}, scope=scope)


def _params_before(selection: "Selection") -> dict[str, Any]:
    """Return the parameters with which a service was started last. Raises ParametersError."""
    from tracetail.launcher import plan

    found = selection.find(_state_dir())
    if not found:
        raise ParametersError(f"there is no launch of {selection.describe()} to restart")
    before = next((launch for launch in found if launch.live), found[0])
    try:
        kept = plan.read(before.dir)["params"]
    except (OSError, ValueError, KeyError) as error:
        raise ParametersError(f"launch {before.record['launchId']} cannot be repeated: {error}") from error
    return {name: value for name, value in kept.items() if name not in ("instanceId", "ifRunning")}


@click.command(cls=_ResultCommand)
@_selection_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object and nothing else, for programs.")
def status(given: str | None, launch_id: str, as_json: bool, **flags: Any) -> None:
    """Tell the state of a service."""
    _status(given, launch_id, flags, as_json=as_json)


_STATUS_ROWS = ("launchId", "traceId", "instanceId", "engine", "pid", "startedAt", "readyAt", "endedAt", "logFile")


def _status(given: str | None, launch_id: str, flags: Mapping[str, Any], *, as_json: bool = False) -> None:
    from tracetail.launcher.operations import status as statuses
    from tracetail.launcher.redacting import mask

    try:
        selection = _selection(_values(given, flags), launch_id)
    except ParametersError as error:
        _bad("status", error)
    result = statuses.status(selection, _state_dir())
    shown = result.to_object(mask)
    known: Mapping[str, Any] = {**(result.record or {}), **shown}
    if as_json:
        click.echo(json.dumps({**shown, **{name: known[name] for name in _STATUS_ROWS if name in known}}, indent=2))
        sys.exit(result.status)
    click.echo(f"{shown.get('service', selection.describe())} is {shown.get('state')}" + _at(shown))
    for name in _STATUS_ROWS:
        if known.get(name):
            click.echo(f"  {name:<10}  {known[name]}")
    _finish(result)


@click.command(cls=_ResultCommand)
@_parameter_options
@_scope_option
def apply(given: str | None, scope: bool, **flags: Any) -> None:
    """Do what the parameter `action` says."""
    try:
        values = _values(given, flags)
    except ParametersError as error:
        _bad("apply", error)
    action = values.get("action", "start")

    text = json.dumps(values)
    if action == "start":
        _start("start", text, {}, scope=scope)
    elif action == "restart":
        _restart(text, "", {}, scope=scope)
    elif action == "stop":
        _stop("stop", text, "", {})
    elif action == "status":
        _status(text, "", {})
    else:
        _bad("apply", ParametersError(f"action is {action!r}: expected start, stop, restart or status"))


@click.command()
@click.option("--all", "everything", is_flag=True, help="Launches that have ended, too.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def ps(everything: bool, as_json: bool) -> None:
    """List the launches of this machine."""
    from tracetail.launcher import registry

    rows = [
        {
            "launchId": launch.record["launchId"],
            "service": launch.record["service"],
            "state": launch.state,
            "kept": launch.kept,
            "pid": launch.record["server"]["pid"] if "server" in launch.record else None,
            "port": launch.record.get("port"),
            "engine": launch.record["engine"],
            "traceId": launch.record["traceId"],
            "instanceId": launch.record["instanceId"],
            "startedAt": launch.record["startedAt"],
            "logFile": launch.record["logFile"],
            "cause": launch.record.get("exit", {}).get("cause"),
        }
        for launch in registry.launches(_state_dir())
        if everything or launch.live
    ]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    elif rows:
        _table(rows, ("launchId", "service", "state", "pid", "engine", "traceId", "cause"))
    else:
        click.echo("nothing runs" if not everything else "there are no launches")
    for problem in registry.unreadable(_state_dir()):
        click.echo(f"warning: {problem}", err=True)


def _table(rows: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    cells = [[name.upper() for name in names]]
    cells += [["" if row[name] is None else str(row[name])[:60] for name in names] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.command()
@click.option("--adopt", "launch_id", metavar="LAUNCH", required=True, help="The launch to take over.")
def keep(launch_id: str) -> None:
    """Take over a launch whose keeper is gone, and return at once."""
    from tracetail.contract.identity import is_launch_id
    from tracetail.contract.record import LaunchDir
    from tracetail.launcher.operations import rescue

    launch = LaunchDir(state.launches_dir(_state_dir()) / launch_id)
    if not is_launch_id(launch_id) or not launch.record_path.exists():
        click.echo(f"error: there is no launch {launch_id!r} in {_state_dir()}", err=True)
        sys.exit(BAD_PARAMETERS)
    if not rescue.rescue(launch):
        click.echo(f"error: no keeper came up for launch {launch_id}: see {launch.path / 'keeper.log'}", err=True)
        sys.exit(1)


@click.command()
@click.option("--keep-days", type=float, default=None, help="Launches that ended longer ago go (14).")
@click.option("--keep-launches", type=int, default=None, help="Beyond so many ended launches the oldest go (200).")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def gc(keep_days: float | None, keep_launches: int | None, dry_run: bool, as_json: bool) -> None:
    """Remove old records and segments that are shipped."""
    from tracetail.launcher.keeper import pruning
    from tracetail.launcher.operations import garbage_collect

    try:
        min_free_bytes = _settings().min_free_bytes
    except ParametersError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(BAD_PARAMETERS)
    removed = list(
        garbage_collect.collect(
            _state_dir(),
            keep_days=garbage_collect.DEFAULT_KEEP_DAYS if keep_days is None else keep_days,
            keep_launches=garbage_collect.DEFAULT_KEEP_LAUNCHES if keep_launches is None else keep_launches,
            min_free_bytes=min_free_bytes,
            dry_run=dry_run,
        )
    )
    if as_json:
        rows = [{"path": str(one.path), "bytes": one.bytes, "shipped": one.shipped} for one in removed]
        click.echo(json.dumps(rows, indent=2))
        return
    for one in removed:
        lost = "" if one.shipped else ", given up for room: Loki does not have all of it"
        click.echo(f"{one.path}" + (f" {one.bytes} bytes" if one.bytes else "") + lost)
    total = sum(one.bytes for one in removed)
    click.echo(f"{'would remove' if dry_run else 'removed'} {len(removed)} files and directories, {total} bytes")
    free = pruning.free_bytes(_state_dir()) if _state_dir().is_dir() else min_free_bytes
    if free < min_free_bytes and not dry_run:
        text = f"only {free // 1024**2} MiB are free, and nothing else of launches that have ended can go"
        click.echo(f"warning: {text}: make room otherwise, or lower [launcher] min_free_disk_mb", err=True)


def _meant(values: dict[str, Any], launch_id: str) -> "registry.Launch":
    """Return the one launch that is meant. Raises ParametersError."""
    selection = _selection(values, launch_id)
    found = selection.live(_state_dir()) or selection.find(_state_dir())
    if not found:
        raise ParametersError(f"there is no launch of {selection.describe()}")
    return found[0]


@click.command(cls=_ResultCommand)
@_selection_options
def warmup(given: str | None, launch_id: str, **flags: Any) -> None:
    """Send a first request and wait for a token."""
    _probe_model("warmup", given, launch_id, flags, None)


@click.command(cls=_ResultCommand)
@_selection_options
@click.option("--prompt", default=None, help="What to send (else `smoke` of the parameters).")
@click.option("--pattern", default=None, help="Regular expression that must be found in the answer.")
@click.option("--max-tokens", type=int, default=32, show_default=True)
def smoke(
    given: str | None, launch_id: str, prompt: str | None, pattern: str | None, max_tokens: int, **flags: Any
) -> None:
    """Send a prompt and check the answer."""
    asked = None if prompt is None else {"prompt": prompt, "pattern": pattern or ".", "maxTokens": max_tokens}
    _probe_model("smoke", given, launch_id, flags, asked)


def _probe_model(
    action: str, given: str | None, launch_id: str, flags: Mapping[str, Any], asked: dict[str, Any] | None
) -> None:
    from tracetail.launcher.operations import model_check

    try:
        values = _values(given, flags)
        launch = _meant(values, launch_id)
        if action == "smoke" and asked is None:
            asked = values.get("smoke")
        result = model_check.warm_up(launch) if action == "warmup" else model_check.smoke(launch, asked)
    except ParametersError as error:
        _bad(action, error)
    if result.status == OK:
        click.echo(f"{result.to_object()['service']} answered after {result.seconds:.1f} s")
    _finish(result)


@click.command(cls=_ResultCommand)
@_selection_options
@click.option("--callback-url", default=None, help="Where to (else the callbackUrl of its start).")
def notify(given: str | None, launch_id: str, callback_url: str | None, **flags: Any) -> None:
    """Report a launch's state to its callback."""
    from tracetail.launcher.operations import notify

    try:
        values = _values(given, flags)
        launch = _meant(values, launch_id)
        result = notify.notify(launch, callback_url or values.get("callbackUrl") or "")
    except ParametersError as error:
        _bad("notify", error)
    if result.status == OK:
        click.echo(f"the receiver took that launch {launch.record['launchId']} is {launch.state}")
    _finish(result)
