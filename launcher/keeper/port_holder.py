"""Which process holds a launch's port, if it is not one of the launch's own.

Imports `machine.ports` only when it is called: most keepers never need it, and they have to stay small.
"""

import os

from tracetail.contract.record import Record, container_init
from tracetail.launcher.engines.causes.cause import NO_TEXT, Text
from tracetail.launcher.machine import processes


def describe_foreign_listener(launch: Record, host: str) -> Text:
    """Return which process listens at the launch's port if it is certainly not the engine; NO_TEXT otherwise.

    It is not certain for a process in a container, which a wrapper of the engine's Python may have started, nor for
    a custom command, which may have another process listen, as `docker run` does.
    """
    port = launch["port"]
    if launch["engine"] == "custom" or port is None:
        return NO_TEXT
    try:
        from tracetail.launcher.machine import ports  # noqa: PLC0415  (once for each start)
    except ImportError:  # another version was installed while the server started
        return NO_TEXT

    holder = ports.holder(port, host)
    if holder is None or holder.pid is None or not processes.same_file_system_view(holder.pid):
        return NO_TEXT
    init = container_init(launch)
    own = processes.members(launch["launchId"], launch.get("server"), container=init, keeper=os.getpid())
    return NO_TEXT if holder.pid in {one.pid for one in own} else Text(holder.describe(), holder.describe_zh())


def describe_holder(launch: Record, host: str) -> Text:
    """Return which process holds the launch's port; NO_TEXT if none does."""
    port = launch["port"]
    if port is None:
        return NO_TEXT
    try:
        from tracetail.launcher.containers import process_container  # noqa: PLC0415  (as below)
        from tracetail.launcher.machine import ports  # noqa: PLC0415  (only for a start that failed)
    except ImportError:
        return NO_TEXT

    holder = ports.holder(port, host)
    if holder is None:
        return NO_TEXT
    held = Text(holder.describe(), holder.describe_zh())
    container = process_container.of_port(port, holder.pid)
    if container is None:
        return held
    return Text(f"{held.en}, in {container.describe()}", f"{held.zh}，位于{container.describe_zh()}")
