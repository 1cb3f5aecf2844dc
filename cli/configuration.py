"""Loads the configuration: one TOML file, then environment variables, checked against each part's settings type."""

import json
import os
import re
from collections.abc import Mapping
from typing import Any, NoReturn, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from tracetail.agent.kafka_settings import KafkaSettings, KafkaSettingsError
from tracetail.agent.otlp_settings import OtlpSettings
from tracetail.agent.settings import AgentSettings
from tracetail.cli.config_sources import ConfigurationError, config_path, variables
from tracetail.cli.denied import denied
from tracetail.cli.options import Option, keys_inside, options, options_of_table
from tracetail.contract import shared_secret
from tracetail.contract.access import host_refusal, is_loopback, parse_listen
from tracetail.contract.http_settings import HttpSettingsError, is_http_url
from tracetail.launcher.settings import LauncherSettings
from tracetail.loki.settings import LocalLokiSettings, LokiSettings
from tracetail.panel.settings import PanelSettings
from tracetail.store.settings import StoreSettings

_PYTHON_NAMES = re.compile(r"`(\w+)`")
_PLAIN_NAMES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
"""The types in msgspec's messages, in the words of TOML."""

_URLS = {
    "agent.pushgateway_url": "http://pushgateway.example:9091",
    "agent.remote_write_url": "http://prometheus.example:9090/api/v1/write",
    "panel.powerjob_url": "http://powerjob.example:7700",
    "panel.url": "https://logs.example.com",
}
"""The keys whose values are URLs or empty, each with an example."""

_Sources = Mapping[str, Mapping[str, str]]
"""Where each key was set, by table and key: the path of a file or the name of a variable."""


class Configuration(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Every option of tracetail, by table."""

    loki: LokiSettings = LokiSettings()
    kafka: KafkaSettings = KafkaSettings()
    otlp: OtlpSettings = OtlpSettings()
    agent: AgentSettings = AgentSettings()
    launcher: LauncherSettings = LauncherSettings()
    panel: PanelSettings = PanelSettings()
    store: StoreSettings = StoreSettings()


def load(named: str | None = None, environ: Mapping[str, str] = os.environ) -> Configuration:
    """Return the configuration from file and environment. named: the value of --config. Raises ConfigurationError."""
    path = config_path(named, environ)
    given: dict[str, Any] = {}
    if path is not None:
        import tomllib

        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"))
        except PermissionError as error:
            raise ConfigurationError(f"the configuration cannot be read: {denied(error)}") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}") from error
    set_by_variables = variables(environ)
    known = options(Configuration) if given or set_by_variables else []
    _check_keys(given, known, str(path))
    sources = {table: dict.fromkeys(values, str(path)) for table, values in given.items()}
    for option in _set_by_environment(set_by_variables, known):
        given.setdefault(option.table, {})[option.key] = _from_text(option, environ[option.variable])
        sources.setdefault(option.table, {})[option.key] = option.variable
    values = {}
    for table, struct in get_type_hints(Configuration).items():
        values[table] = _convert(table, given.get(table, {}), struct, sources.get(table, {}))
    loaded = Configuration(**values)
    _check_listen(loaded, sources)
    if not loaded.loki.url:
        loaded = msgspec.structs.replace(loaded, loki=_at_the_store(loaded))
    loaded = msgspec.structs.replace(loaded, loki=_with_shared_secret(loaded, environ))
    _check_values(loaded, sources)
    return loaded


def store_url(store: StoreSettings) -> str:
    """Return the URL at which this machine reaches the embedded store."""
    return local_url("store.listen", store.listen)


def local_url(key: str, listen: str) -> str:
    """Return the URL at which this machine reaches a part that listens there. key: the setting's name."""
    host, port = parse_listen(key, listen)
    if host in ("0.0.0.0", "::"):  # noqa: S104  (all interfaces: loopback reaches it)
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _at_the_store(loaded: Configuration) -> LokiSettings:
    """Return the settings of `[loki]` for the embedded store: its address, and its secret if nothing else is set."""
    loki = msgspec.structs.replace(loaded.loki, url=store_url(loaded.store))
    if loaded.store.secret_file and not (loki.bearer_token_file or loki.username):
        loki = _local(loki, loaded.store.secret_file, is_store=True)
    return loki


def _with_shared_secret(loaded: Configuration, environ: Mapping[str, str]) -> LokiSettings:
    """Return the settings of `[loki]` with the secret of the state directory, for an address of this machine.

    It is sent nowhere else, and not where something else is configured. A Loki of this machine ignores it.
    """
    loki = loaded.loki
    try:
        host = urlsplit(loki.url).hostname or ""
    except ValueError:
        return loki
    if not is_loopback(host) or loki.bearer_token_file or loki.username or loki.proxy:
        return loki
    found = shared_secret.find(environ)
    is_store = loki.url.rstrip("/") == store_url(loaded.store)
    return loki if found is None else _local(loki, str(found), is_store=is_store)


def _local(loki: LokiSettings, secret: str, *, is_store: bool) -> LokiSettings:
    given = {**msgspec.structs.asdict(loki), "bearer_token_file": secret}
    return LocalLokiSettings(**given, is_store=is_store)


def secret_file(part: str, loaded: Configuration, environ: Mapping[str, str] = os.environ) -> str:
    """Return the file with the secret that opens a part (store, agent, panel); "" for one that is open."""
    table = getattr(loaded, part)
    if part != "panel" and table.secret_file:
        return str(table.secret_file)
    found = None if table.open else shared_secret.find(environ)
    return "" if found is None else str(found)


def _check_listen(loaded: Configuration, sources: _Sources) -> None:
    for table in ("agent", "panel", "store"):
        key = f"{table}.listen"
        try:
            parse_listen(key, getattr(loaded, table).listen)
        except ValueError as error:
            _refuse(sources, key, str(error))


def _check_values(loaded: Configuration, sources: _Sources) -> None:
    """Check what a type cannot express. Raises ConfigurationError."""
    url = urlsplit(loaded.loki.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        reason = f"loki.url is {loaded.loki.url!r}; expected a URL, for instance http://loki.example:3100"
        _refuse(sources, "loki.url", reason)
    if refused := host_refusal("loki.allowed_hosts", loaded.loki.url, loaded.loki.allowed_hosts):
        _refuse(sources, "loki.url", f"loki.url is {loaded.loki.url!r}: {refused}")
    if url.username is not None:
        # The address is shown in messages, on status pages, and to viewers of the panel.
        reason = "loki.url holds a user or password; put them into loki.username and loki.password_file"
        _refuse(sources, "loki.url", reason)
    for key, example in _URLS.items():
        table, _, name = key.partition(".")
        if (value := getattr(getattr(loaded, table), name)) and not is_http_url(value):
            _refuse(sources, key, _no_url(key, example))
    try:
        loaded.kafka.check()
        loaded.otlp.check()
    except (KafkaSettingsError, HttpSettingsError) as error:
        _refuse(sources, str(error).partition(":")[0].partition(" ")[0], str(error))
    if loaded.agent.timezone:
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            ZoneInfo(loaded.agent.timezone)
        except (ValueError, ZoneInfoNotFoundError):
            reason = f"agent.timezone is {loaded.agent.timezone!r}; expected a zone as Europe/Berlin"
            _refuse(sources, "agent.timezone", reason)


def _no_url(key: str, example: str) -> str:
    """Return the message for a value that is no URL. It is not repeated, as it may hold a password."""
    return f"{key} is not usable; expected a URL, for instance {example}"


def _refuse(sources: _Sources, key: str, reason: str) -> NoReturn:
    table, _, name = key.partition(".")
    raise ConfigurationError(f"{sources.get(table, {}).get(name, 'the configuration')}: {reason}")


def _check_keys(tables: dict[str, Any], known: list[Option], where: str) -> None:
    by_table: dict[str, list[str]] = {}
    for option in known:
        by_table.setdefault(option.table, []).append(option.key)
    for table, values in tables.items():
        if table not in by_table:
            raise ConfigurationError(f"{where}: unknown table [{table}]{_nearest(table, list(by_table))}")
        if not isinstance(values, dict):
            raise ConfigurationError(f"{where}: {table} must be a table: [{table}]")
        for key in values:
            if key not in by_table[table]:
                raise ConfigurationError(f"{where}: unknown key {table}.{key}{_nearest(key, by_table[table])}")


def _set_by_environment(names: list[str], known: list[Option]) -> list[Option]:
    """Return the options that the variables of these names set. Raises ConfigurationError if one sets none."""
    by_variable = {option.variable: option for option in known}
    for name in names:
        if name not in by_variable:
            raise ConfigurationError(f"unknown environment variable {name}{_nearest(name, list(by_variable))}")
    return [option for variable, option in by_variable.items() if variable in names]


def _nearest(word: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are: {', '.join(known)}"


def _from_text(option: Option, text: str) -> Any:
    """Return the value of an environment variable as TOML would give it for the option's type."""
    kind = get_origin(option.type) or option.type
    if kind is str:
        return text
    if kind is list and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _convert(table: str, values: dict[str, Any], struct: Any, sources: dict[str, str]) -> Any:
    try:
        return msgspec.convert(values, struct)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        key = place.removesuffix("`")
        top = key.partition(".")[0].partition("[")[0]
        where = sources.get(top, "the configuration")
        unknown = re.fullmatch(r"Object contains unknown field `(.*)`", message)
        if unknown:
            option = next(option for option in options_of_table(table, struct) if option.key == top)
            known = [inside.key for inside in keys_inside(option)]
            reason = f"unknown key {unknown[1]}{_nearest(unknown[1], known)}"
        elif "matching regex" in message and (example := _URLS.get(f"{table}.{key}")):
            raise ConfigurationError(f"{where}: {_no_url(f'{table}.{key}', example)}") from error
        elif choice := re.fullmatch(r"Invalid enum value ('.*')", message, re.DOTALL):
            option = next(option for option in options_of_table(table, struct) if option.key == top)
            named = {inside.key.rpartition(".")[2]: inside.type for inside in (option, *keys_inside(option))}
            known = [str(one) for one in get_args(named[key.rpartition(".")[2]])]
            raise ConfigurationError(
                f"{where}: {table}.{key} is {choice[1]}; expected one of {', '.join(known)}"
            ) from error
        else:
            reason = _PYTHON_NAMES.sub(lambda match: _PLAIN_NAMES.get(match[1], match[0]), message)
            reason = reason[:1].lower() + reason[1:]
        raise ConfigurationError(f"{where}: {table}.{key}: {reason}") from error
