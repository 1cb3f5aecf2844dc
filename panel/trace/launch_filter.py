"""Which launches of the list a reader wants to see."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tracetail.contract import record
from tracetail.panel.trace.contact import LOST, shown_state
from tracetail.panel.trace.launches import UNKNOWN

STATES = (
    record.STARTING,
    record.READY,
    record.UNHEALTHY,
    record.STOPPING,
    record.STOPPED,
    record.FAILED,
    record.CRASHED,
    LOST,
    UNKNOWN,
)
"""What launches can be filtered by."""

_EXIT_FIELDS = ("cause", "causeCode", "causeZh", "signal")
LABEL_FIELDS = ("modelName", "engine", "env", "host")
"""Fields that stream labels give, with a filter each."""
_TEXT_FIELDS = (
    "modelName",
    "engine",
    "host",
    "env",
    "traceId",
    "instanceId",
    "launchId",
    "service",
    "jobId",
    "command",
)


class LaunchFilter(NamedTuple):
    """Selects launches. An empty value selects all."""

    state: str = ""
    """States, separated by commas; `lost` for launches without contact, which are in no other state then."""
    model_name: str = ""
    engine: str = ""
    host: str = ""
    env: str = ""
    text: str = ""
    """Words, each of which stands somewhere in the launch's fields or its cause; case is ignored."""

    def matches_labels(self, launch: Mapping[str, Any]) -> bool:
        """Return whether what stream labels give of a launch is selected."""
        return all(
            not wanted or launch.get(field) == wanted
            for field, wanted in (
                ("modelName", self.model_name),
                ("engine", self.engine),
                ("host", self.host),
                ("env", self.env),
            )
        )

    def matches(self, launch: Mapping[str, Any]) -> bool:
        """Return whether a launch with its events applied is selected."""
        if not self.matches_labels(launch) or (self.state and shown_state(launch) not in self.state.split(",")):
            return False
        exit_fields = launch.get("exit", {})
        known = [launch.get(field) for field in _TEXT_FIELDS] + [exit_fields.get(name) for name in _EXIT_FIELDS]
        text = "\n".join(str(value) for value in known if value).casefold()
        return all(word in text for word in self.text.casefold().split())
