"""Finds the launches that a stop, status or restart refers to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracetail.contract.identity import InvalidIdError, check_id, is_launch_id
from tracetail.contract.record import LaunchDir, RecordError
from tracetail.contract.state import launches_dir
from tracetail.launcher import registry
from tracetail.launcher.params import ParametersError
from tracetail.launcher.params_input import normalize


class Selection:
    """The properties by which launches are selected."""

    def __init__(self, given: Mapping[str, Any], *, launch_id: str = "") -> None:
        """Args: given: parameters, camelCase or snake_case. Raises ParametersError."""
        values = normalize(given)
        if launch_id and not is_launch_id(launch_id):
            raise ParametersError(f"launch {launch_id!r} is not a launchId, such as 20261122T211210-4bf92f")
        self._launch_id = launch_id
        self._wanted: dict[str, Any] = {}
        for name in ("modelName", "port", "env", "traceId"):
            if values.get(name) not in (None, ""):
                self._wanted[name] = values[name]
        if "port" in self._wanted and not isinstance(self._wanted["port"], int):
            raise ParametersError(f"port is {self._wanted['port']!r}: expected a number")
        if "traceId" in self._wanted:
            try:
                check_id("traceId", str(self._wanted["traceId"]))
            except InvalidIdError as error:
                raise ParametersError(str(error)) from error
        if not self._wanted and not launch_id:
            raise ParametersError("nothing is selected: give modelName (and port), traceId or a launch")

    @property
    def of_trace(self) -> bool:
        """Whether a traceId selects, so that several services may be meant."""
        return not self._launch_id and "traceId" in self._wanted

    def matches(self, launch: registry.Launch) -> bool:
        """Return whether a launch is selected."""
        if self._launch_id:
            return launch.record["launchId"] == self._launch_id
        return all(launch.record.get(name) == value for name, value in self._wanted.items())

    def find(self, state_dir: Path) -> list[registry.Launch]:
        """Return the selected launches, newest first. Raises ParametersError for an unreadable record."""
        if self._launch_id:
            try:
                return [registry.read_launch(LaunchDir(launches_dir(state_dir) / self._launch_id))]
            except FileNotFoundError:
                return []
            except (RecordError, KeyError, OSError) as error:
                raise ParametersError(f"the record of launch {self._launch_id} cannot be used: {error}") from error
        return [launch for launch in registry.launches(state_dir) if self.matches(launch)]

    def live(self, state_dir: Path) -> list[registry.Launch]:
        """Return the selected launches that run.

        A traceId selects every service of its trace. Raises ParametersError if something else selects several.
        """
        found = [launch for launch in self.find(state_dir) if launch.live]
        services = sorted({launch.record["service"] for launch in found})
        if len(services) > 1 and not self.of_trace:
            raise ParametersError(f"several services match, {', '.join(services)}: give port, env or a launch")
        return found

    def describe(self) -> str:
        """Return the selection as text, for messages."""
        if self._launch_id:
            return f"launch {self._launch_id}"
        return ", ".join(f"{name} {value}" for name, value in self._wanted.items())
