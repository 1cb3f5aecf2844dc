"""The client for event loops: the same operations, awaited. Cancelling a start stops what it has started."""

import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, Unpack

from tracetail.client.client import Client
from tracetail.client.info import LaunchFacts, LaunchInfo
from tracetail.client.launch_handle import Launch
from tracetail.client.lines import Line, LogFilters
from tracetail.client.start_params import StartParams
from tracetail.client.threads import in_thread, iterate_in_thread


class AsyncLaunch(LaunchFacts):
    """One start of one inference server: `Launch`, awaited."""

    def __init__(self, launch: Launch) -> None:
        """launch: what does the work."""
        self._launch = launch

    @property
    def info(self) -> LaunchInfo:
        """What the last look found."""
        return self._launch.info

    @property
    def reused(self) -> bool:
        """Whether the start found the server running, with these parameters."""
        return self._launch.reused

    @property
    def panel_url(self) -> str:
        """The launch's page in the panel, without a token; empty if no panel is known."""
        return self._launch.panel_url

    async def refresh(self) -> Self:
        """Look again, as `Launch.refresh`."""
        await in_thread(self._launch.refresh)
        return self

    async def wait(self, timeout: float | None = None, *, until: Literal["ready", "ended"] = "ready") -> Self:  # noqa: ASYNC109
        """Wait until the server is ready, or until it has ended, as `Launch.wait`."""
        await in_thread(lambda: self._launch.wait(timeout, until=until))
        return self

    async def stop(self) -> Self:
        """Stop the server and every process of it, as `Launch.stop`."""
        await in_thread(self._launch.stop)
        return self

    def logs(self, **filters: Unpack[LogFilters]) -> AsyncIterator[Line]:
        """Yield the lines of the log, oldest first, as `Launch.logs`."""
        return iterate_in_thread(lambda: self._launch.logs(**filters))

    async def __aenter__(self) -> Self:
        """Wait until the server is ready."""
        await in_thread(self._launch.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server if this start made it."""
        await in_thread(lambda: self._launch.__exit__(kind, error, trace))

    def __repr__(self) -> str:
        """Return state, service and ids."""
        return repr(self._launch).replace("<Launch", "<AsyncLaunch")

    def _repr_html_(self) -> str:
        return self._launch._repr_html_()


@dataclass(frozen=True, slots=True)
class AsyncTrace:
    """The launches of one trace."""

    trace_id: str
    launches: tuple[AsyncLaunch, ...]
    """Oldest first."""
    state: str
    """The worst state of its launches."""


class AsyncClient:
    """Starts servers on this machine; reads their launches, and those that a panel knows: `Client`, awaited."""

    def __init__(
        self,
        panel_url: str | None = None,
        token: str | None = None,
        *,
        state_dir: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
    ) -> None:
        """Find this machine's launches, and the panel, as `Client`."""
        self._client = Client(panel_url, token, state_dir=state_dir, config=config)

    async def start(self, *, wait: bool = True, **params: Unpack[StartParams]) -> AsyncLaunch:
        """Start a server on this machine, as `Client.start`."""
        return AsyncLaunch(await in_thread(lambda: self._client.start(wait=wait, **params)))

    async def launch(self, launch_id: str) -> AsyncLaunch:
        """Return a launch by its id, as `Client.launch`."""
        return AsyncLaunch(await in_thread(lambda: self._client.launch(launch_id)))

    async def find(
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
    ) -> list[AsyncLaunch]:
        """Return launches, newest first, as `Client.find`."""
        found = await in_thread(
            lambda: self._client.find(
                text, model=model, state=state, env=env, engine=engine, host=host, trace_id=trace_id, limit=limit
            )
        )
        return [AsyncLaunch(launch) for launch in found]

    async def traces(
        self, *, model: str = "", state: str = "", env: str = "", engine: str = "", host: str = "", limit: int = 50
    ) -> Sequence[AsyncTrace]:
        """Return traces, newest first, as `Client.traces`."""
        found = await in_thread(
            lambda: self._client.traces(model=model, state=state, env=env, engine=engine, host=host, limit=limit)
        )
        return [
            AsyncTrace(trace.trace_id, tuple(AsyncLaunch(launch) for launch in trace.launches), trace.state)
            for trace in found
        ]
