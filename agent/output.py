"""An output: what lines are shipped to, with a journal, positions and open files of its own.

Outputs share nothing but the process: each reads every log by itself, so that one that cannot be reached delays no
other, and none has to remember what another still needs. Another kind of output is another OutputPlan.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracetail.agent.checked_settings import redactor_of, zone_of
from tracetail.agent.follow_loop import FollowLoop, Report
from tracetail.agent.journal.database import Journal
from tracetail.agent.launches.adopter import Adopter
from tracetail.agent.launches.shipped_file import ShippedFileWriter, launches_without_final_file
from tracetail.agent.pipeline import Observer, Pipeline, ReadingMetrics
from tracetail.agent.reading.discovery import Discovery
from tracetail.agent.resume import Resumer
from tracetail.agent.settings import AgentSettings
from tracetail.agent.shipping.in_flight import ReadSlots
from tracetail.agent.shipping.journaled_delivery import JournaledDelivery


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """What distinguishes one output from the others."""

    name: str
    target: str
    """Where lines are sent to, for people."""
    journal: Journal
    delivery: JournaledDelivery
    slots: ReadSlots
    """Of its own; the delivery sleeps without one."""
    metrics: ReadingMetrics
    report: Report
    body_max_bytes: int
    """Of an intent, before compression."""
    structured_metadata: bool = True
    observers: list[Observer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Output:
    """One output, ready to run."""

    plan: OutputPlan
    discovery: Discovery
    loop: FollowLoop

    @property
    def error(self) -> str:
        """Why entries do not reach it; empty if they do."""
        return self.plan.delivery.health.error

    def status(self) -> dict[str, Any]:
        """Return what /status shows of it."""
        return {
            "name": self.plan.name,
            "target": self.plan.target,
            "healthy": not self.error,
            "error": self.error,
            "lines": sum(followed.lines for followed in self.loop.logs),
            "backlogBytes": sum(followed.backlog() for followed in self.loop.logs),
        }


async def connect(
    plans: Sequence[OutputPlan], settings: AgentSettings, state_dirs: Sequence[Path], host: str
) -> list[Output]:
    """Create the parts of each output from discovery to delivery. The first one also starts missing keepers.

    Raises BadSettingsError, InvalidPatternError.
    """
    zone = zone_of(settings.timezone)
    resumers = [Resumer(plan.journal, zone=zone, structured_metadata=plan.structured_metadata) for plan in plans]
    completed = {plan.name: await resumer.completed() for plan, resumer in zip(plans, resumers, strict=True)}
    completed[plans[0].name] -= launches_without_final_file(state_dirs, completed[plans[0].name])
    shipped = ShippedFileWriter(completed)
    outputs: list[Output] = []
    for plan, resumer in zip(plans, resumers, strict=True):
        open_files = await resumer.open_files(len(plans))
        pipeline = Pipeline(
            resumer,
            plan.delivery,
            redactor_of(settings),
            plan.metrics,
            plan.slots,
            output=plan.name,
            body_max_bytes=plan.body_max_bytes,
            linger_seconds=settings.linger_seconds,
            structured_metadata=plan.structured_metadata,
            observers=plan.observers,
        )
        discovery = Discovery(state_dirs, settings, host, completed[plan.name], open_files, plan.journal.listed_ns)
        adopter = None if outputs else Adopter()
        loop = FollowLoop(pipeline, discovery, plan.report, open_files, shipped, adopter)
        outputs.append(Output(plan, discovery, loop))
    return outputs
