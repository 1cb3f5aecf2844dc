"""What differs between two launches: arguments, versions, phases, and where they ran.

Pure: what the API answers of a launch goes in, one JSON object comes out.
"""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracetail.contract.start_seconds import seconds_by_phase

VERSION_LINE = (
    r"LLM engine \(v|(?:API |vLLM )server version |mindie server, version |using nccl==|[▀▄█]\s+version [0-9]"
)
"""RE2 expression of the lines that versions_in reads."""
_VERSIONS = (
    # vLLM: v1/engine/core.py and engine/llm_engine.py; entrypoints/openai/api_server.py; the banner since 0.20.
    ("vLLM", re.compile(r"LLM engine \(v([^)\s]+)\)")),
    ("vLLM", re.compile(r"vLLM (?:API )?server version ([^\s,\"]+)")),
    ("vLLM", re.compile(r"[▀▄█]\s+version ([0-9][^\s]*)")),
    ("NCCL", re.compile(r"using nccl==([^\s]+)")),
    # MindIE: the first line of mindieservice_daemon.
    ("MindIE", re.compile(r"mindie server, version ([^\s,]+)")),
)
_PLACES = ("engine", "host", "port", "servedName", "image", "nodes", "nodeRank", "role")
_ALSO_PLACES = ("--port",)
"""Arguments that are among the places already."""
_NUMBER = re.compile(r"-[0-9.]+")


def versions_in(lines: Iterable[str]) -> dict[str, str]:
    """Return the versions that an engine's lines name, by program; of several lines about one the first."""
    found: dict[str, str] = {}
    for line in lines:
        for program, pattern in _VERSIONS:
            if match := pattern.search(line):
                found.setdefault(program, match[1])
    return found


def compare_launches(launch: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs.

    Args:
        launch: as the API answers it, with `versions` (see versions_in) if they are known.
        other: the launch that it is compared with, alike.

    Returns:
        `places`, `arguments` and `versions`: lists of `{"name", "launch", "other"}` of what is not the same; a side
        that lacks the name lacks the field. `phases`: all phases of both in their order, with the seconds of each.

    """
    return {
        "places": _differences(_places(launch), _places(other)),
        "arguments": _differences(_arguments(launch), _arguments(other)),
        "versions": _differences(launch.get("versions", {}), other.get("versions", {})),
        "phases": _phases(launch, other),
    }


def arguments_of(command: str) -> dict[str, str]:
    """Return the arguments of a command line by name: options by their names, what comes before them as `command`.

    `--a_b=1`, `--a-b 1` and `--a-b=1` are the same, as they are for vLLM and SGLang. The value of an option is all
    that follows, up to the next option; "" for a switch. The values of an option that is repeated are joined.
    """
    found: dict[str, str] = {}
    name = "command"
    for word in _words(command):
        if word.startswith("-") and len(word) > 1 and not _NUMBER.fullmatch(word):
            option, _, value = word.partition("=")
            name = option.replace("_", "-") if option.startswith("--") else option
            found[name] = f"{found[name]} {value}".strip() if name in found else value
        else:
            found[name] = f"{found.get(name, '')} {word}".strip()
    return found


def _words(command: str) -> Sequence[str]:
    try:
        return shlex.split(command)
    except ValueError:  # an older keeper joined the words without quotes
        return command.split()


def _arguments(launch: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value for name, value in arguments_of(launch.get("command", "")).items() if name not in _ALSO_PLACES
    }


def _places(launch: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(launch[name]) for name in _PLACES if launch.get(name) not in (None, "")}


def _differences(launch: Mapping[str, str], other: Mapping[str, str]) -> list[dict[str, str]]:
    found = []
    for name in dict.fromkeys((*other, *launch)):
        sides = {side: values[name] for side, values in (("launch", launch), ("other", other)) if name in values}
        if len(set(sides.values())) > 1 or len(sides) == 1:
            found.append({"name": name, **sides})
    return found


def _phases(launch: Mapping[str, Any], other: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the phases of both, those of the other first: it is the one that went through all of them."""
    of_launch, of_other = (seconds_by_phase(one.get("phases", ())) for one in (launch, other))
    names = dict.fromkeys((*of_other, *of_launch))
    return [
        {
            "name": name,
            **({"launch": of_launch[name]} if name in of_launch else {}),
            **({"other": of_other[name]} if name in of_other else {}),
        }
        for name in names
    ]
