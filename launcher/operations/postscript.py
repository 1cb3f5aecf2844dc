"""Says something in the log of a launch that no keeper writes to. Whoever does so holds the launch's lock."""

import os
import time

from tracetail.contract.record import Record
from tracetail.contract.state import DIRECTORY_MODE
from tracetail.launcher import plan
from tracetail.launcher.keeper import takeover
from tracetail.launcher.keeper.segment_writer import SEGMENT_MODE
from tracetail.launcher.keeper.stamper import Stamper


def say(found: Record, event: str, /, **fields: object) -> bool:
    """Add an event to a launch's last segment; False if the disk does not take it."""
    stands = takeover.find(plan.log_of(found), None)
    stamper = Stamper(found["traceId"], found["instanceId"], stands.last_ns)
    data = (b"\n" if stands.torn else b"") + stamper.event(time.time_ns(), event, **fields)
    try:
        stands.path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        descriptor = os.open(stands.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, SEGMENT_MODE)
        with os.fdopen(descriptor, "wb", buffering=0) as segment:
            segment.write(data)
    except OSError:
        return False
    return True
