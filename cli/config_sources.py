"""Where the configuration is: one TOML file, and environment variables.

Apart from `configuration`, which knows the settings of every part: where nothing is configured, a start does not
import them.
"""

import os
from collections.abc import Mapping
from pathlib import Path

CONFIG_VARIABLE = "TRACETAIL_CONFIG"
SYSTEM_CONFIG = Path("/etc/tracetail/tracetail.toml")
TABLES = ("loki", "kafka", "otlp", "agent", "launcher", "panel", "store")
PREFIX = "TRACETAIL_"
"""Of the variables: TRACETAIL_LOKI_URL is `url` in the table `[loki]`."""


class ConfigurationError(ValueError):
    """The configuration cannot be used; the message names file, key and what was expected."""


def config_path(named: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the path of --config, of $TRACETAIL_CONFIG, the user's file or the system's, in this order; else None.

    Raises ConfigurationError if a file is named and does not exist.
    """
    for source, value in (("--config", named), (CONFIG_VARIABLE, environ.get(CONFIG_VARIABLE))):
        if value:
            if not _is_file(Path(value)):
                raise ConfigurationError(f"{source} names {value}, which is not a file")
            return Path(value)
    user = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    candidates = (user / "tracetail" / "tracetail.toml", SYSTEM_CONFIG)
    return next((path for path in candidates if _is_file(path)), None)


def variables(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that set keys of the configuration, or of keys that do not exist."""
    prefixes = tuple(f"{PREFIX}{table}_".upper() for table in TABLES)
    return [name for name in environ if name.startswith(prefixes)]


def is_configured(named: str | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether anything is configured. named: the value of --config. Raises ConfigurationError."""
    return bool(variables(environ)) or config_path(named, environ) is not None


def _is_file(path: Path) -> bool:
    """Return whether path is a file. Raises ConfigurationError where this user may not know."""
    try:
        return path.is_file()
    except PermissionError as error:
        from tracetail.cli.denied import denied

        raise ConfigurationError(f"the configuration cannot be read: {denied(error)}") from error
