"""An agent and the log files that it follows, whose fate is staged by field tests."""

import asyncio
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from support.agent_loki import LokiStandIn
from support.waiting import eventually
from tracetail.contract.logline import parse_event

if TYPE_CHECKING:
    from support.agent_process import AgentProcess


class Fate:
    """An agent and the files that it follows; lines that are written through it are wanted in Loki."""

    def __init__(self, directory: Path, loki: LokiStandIn, start_agent) -> None:
        self.dir = directory
        self.wanted: list[str] = []
        self._loki = loki
        self._start_agent = start_agent
        self.agent: AgentProcess

    async def follow(self, *globs: str, agent: str = "") -> None:
        """Start an agent, anew if there was one, that follows these globs beneath the directory."""
        self._globs = globs or self._globs
        sources = "".join(f'[[agent.sources]]\nglob = "{self.dir}/{glob}"\n' for glob in self._globs)
        self.agent = await self._start_agent(f"[agent]\n{agent}\n{sources}")

    def append(self, name: str, *lines: str, wanted: bool = True) -> Path:
        """Append lines to a file."""
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.writelines(line + "\n" for line in lines)
        self.wanted += lines if wanted else ()
        return path

    def number(self, name: str, count: int, tag: str = "line") -> Path:
        """Append numbered lines to a file."""
        first = len(self.wanted)
        return self.append(name, *(f"{name} {tag} {number:06d}" for number in range(first, first + count)))

    async def arrive(self, seconds: float = 60, *, quiet: float = 0.0) -> None:
        """Wait until each wanted line has come; none may come twice. quiet: nothing more may come for this time."""
        wanted = sorted(self.wanted)

        def have_come() -> bool:
            return len(self._loki.stored) - len(self.events) >= len(wanted)

        await eventually(have_come, f"{len(wanted)} lines", seconds)
        if quiet:
            before = len(self._loki.stored)
            with_more = asyncio.create_task(self._loki.until(lambda: len(self._loki.stored) > before, quiet))
            await asyncio.wait([with_more])
            with_more.exception()
        assert sorted(self._loki.lines()) == wanted

    async def come(self, count: int) -> None:
        """Wait until so many lines have come."""
        await eventually(lambda: len(self._loki.stored) >= count, f"{count} lines")

    @property
    def events(self) -> list[str]:
        return [entry.line for entry in self._loki.stored if dict(entry.metadata).get("kind") == "event"]

    @property
    def gaps(self) -> list[dict[str, str]]:
        return [event.fields for event in map(parse_event, self.events) if event and event.name == "gap"]


def run(*argv: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, check=False, capture_output=True)


def mount(*arguments: str | Path) -> None:
    mounted = run("mount", *arguments)
    assert mounted.returncode == 0, mounted.stderr
