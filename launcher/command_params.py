"""Parameters of a launch for a server's own command line: `tracetail run -- vllm serve …`, `tracetail start -- …`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracetail.launcher import engines
from tracetail.launcher.engines import nodes
from tracetail.launcher.engines.command_line import recognise
from tracetail.launcher.params import ParametersError


def command_params(command: list[str], given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the parameters for a command line, camelCase, and the engine that it runs.

    Args:
        command: the command line, with at least one word.
        given: parameters that are known better than the command line says them; camelCase.

    Raises ParametersError.

    """
    engine = str(given.get("engine", ""))
    if engine and engine not in engines.NAMES:
        raise ParametersError(f"engine is {engine!r}: expected one of {', '.join(engines.NAMES)}")
    found = recognise(command, engine)
    known = engines.load(found.engine)
    place = nodes.place_of(found.engine, command, given.get("nodes"), given.get("nodeRank"))
    port = None if place.role == nodes.FOLLOWER else found.port
    ready_when = known.ready_when if port is not None else ""
    values: dict[str, Any] = {
        "modelName": given.get("servedName") or found.served_name or Path(command[0]).name,
        "servedName": found.served_name,
        "port": port,
        "host": found.host,
        "readyPath": known.ready_path,
        "readyWhen": nodes.ready_when(found.engine, command) if place.role == nodes.FOLLOWER else ready_when,
        **given,
        "engine": "custom",
        "command": command,
    }
    return {name: value for name, value in values.items() if value not in ("", None)}, found.engine
