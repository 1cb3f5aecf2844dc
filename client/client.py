"""The client: starts servers on this machine, and finds launches here or in a panel."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from tracetail.client.errors import CommandError
from tracetail.client.launch_handle import Launch
from tracetail.client.machine import Machine
from tracetail.client.panel import URL_VARIABLE, Panel
from tracetail.client.source import LaunchQuery, Source
from tracetail.client.start_params import StartParams, as_object
from tracetail.contract.record import CRASHED, FAILED, READY, STARTING, STOPPED, STOPPING, UNHEALTHY
from tracetail.contract.state import STATE_DIR_VARIABLE

_WORST_FIRST = (FAILED, CRASHED, UNHEALTHY, STARTING, STOPPING, READY, STOPPED)


@dataclass(frozen=True, slots=True)
class Trace:
    """The launches of one trace: of one run of a test platform, say."""

    trace_id: str
    launches: tuple[Launch, ...]
    """Oldest first."""

    @property
    def state(self) -> str:
        """The worst state of its launches."""
        states = [launch.state for launch in self.launches]
        return min(states, key=lambda state: _WORST_FIRST.index(state) if state in _WORST_FIRST else 0)


class Client:
    """Starts servers on this machine; reads their launches, and those that a panel knows.

    A launch of this machine is read from its files, any other from the panel.
    """

    def __init__(
        self,
        panel_url: str | None = None,
        token: str | None = None,
        *,
        state_dir: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
    ) -> None:
        """Find this machine's launches, and the panel.

        Args:
            panel_url: the panel's address; None for $TRACETAIL_PANEL_URL, "" for none: this machine alone.
            token: for the panel; None for that in the file $TRACETAIL_TOKEN_FILE, or $TRACETAIL_TOKEN.
            state_dir: where launches are kept; None for the usual place.
            config: the configuration file for starts; None for the usual places.

        Raises PanelError if the address is none.

        """
        environ = dict(os.environ)
        if state_dir is not None:
            environ[STATE_DIR_VARIABLE] = str(Path(state_dir).absolute())
        url = environ.get(URL_VARIABLE, "") if panel_url is None else panel_url
        self._machine = Machine(environ, None if config is None else os.fspath(config), url)
        self._panel = Panel(url, token, environ) if url else None

    def start(self, *, wait: bool = True, **params: Unpack[StartParams]) -> Launch:
        """Start a server on this machine.

        Args:
            wait: return when it is ready; without, as soon as there is a launch (then use `Launch.wait`).
            params: what to start, as for `tracetail start`: `model_name`, and `model_path` or `command`. `port=0`
                chooses a free port.

        Raises:
            StartError: it could not be started, or ended before it was ready. An interrupt stops what was started.

        """
        start = self._machine.start(as_object(params))
        if wait:
            launch_id, reused, panel_url = self._machine.started(start.finished())
            return Launch(self._machine, self._machine.info(launch_id), panel_url=panel_url, reused=reused)
        launch_id = start.launch_id()
        if not launch_id:
            self._machine.started(start.finished())
            raise CommandError("tracetail start named no launch")
        return Launch(self._machine, self._machine.info(launch_id), starting=(self._machine, start))

    def launch(self, launch_id: str) -> Launch:
        """Return a launch by its id. Raises LaunchNotFoundError, PanelError."""
        source: Source = self._machine
        if self._panel is not None and not self._machine.has(launch_id):
            source = self._panel
        return Launch(source, source.info(launch_id))

    def find(
        self,
        text: str = "",
        *,
        model: str = "",
        state: str = "",
        env: str = "",
        engine: str = "",
        host: str = "",
        trace_id: str = "",
        limit: int = 50,
    ) -> list[Launch]:
        """Return launches, newest first: those that the panel's token may read; without a panel this machine's.

        Args:
            text: contained in an id, the service, the state, the engine or the cause.
            model: the name of the service.
            state: starting, ready, unhealthy, stopping, failed, stopped or crashed.
            env: dev, test or prod.
            engine: as vllm.
            host: the machine.
            trace_id: of which trace.
            limit: at most so many.

        Raises PanelError, and ValueError for a state that no launch has.

        """
        query = LaunchQuery(text, model, state, env, engine, host, trace_id, limit)
        source: Source = self._machine if self._panel is None else self._panel
        return [
            self._with_source(source, launch_id=info.launch_id, found=Launch(source, info))
            for info in source.find(query)
        ]

    def traces(
        self, *, model: str = "", state: str = "", env: str = "", engine: str = "", host: str = "", limit: int = 50
    ) -> Sequence[Trace]:
        """Return traces, newest first, with those of their launches that `find` finds. limit: of launches.

        Raises PanelError.
        """
        by_trace: dict[str, list[Launch]] = {}
        for launch in self.find(model=model, state=state, env=env, engine=engine, host=host, limit=limit):
            by_trace.setdefault(launch.trace_id, []).insert(0, launch)
        return [Trace(trace_id, tuple(launches)) for trace_id, launches in by_trace.items()]

    def _with_source(self, source: Source, *, launch_id: str, found: Launch) -> Launch:
        """Return the launch as this machine knows it, if it is one of this machine."""
        if source is not self._machine and self._machine.has(launch_id):
            return Launch(self._machine, self._machine.info(launch_id))
        return found
